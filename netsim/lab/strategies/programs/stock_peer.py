"""An ordinary libtorrent peer, all settings but uTP the library's.

A program, `python -m netsim.lab.strategies.programs.stock_peer`:

    stock_peer TORRENT FOLDER DONEFILE         download, write DONEFILE when complete, go on seeding
    stock_peer TORRENT FOLDER DONEFILE seed    seed what FOLDER holds; DONEFILE says that the tracker knows

It will not tune anything: it is what a program gets that adds a torrent to a new session and waits. uTP alone is off,
in the library's favour: its packets pass through user space one by one, and a rack of them would measure the processors
of this machine and not the links.
"""

from __future__ import annotations

import sys
from pathlib import Path

import libtorrent as lt

_WAIT_MS = 60_000


def run_peer(torrent: Path, folder: Path, done_path: Path, *, is_seed: bool) -> None:
    """Run until killed; DONEFILE appears by rename."""
    mask = lt.alert.category_t.error_notification | lt.alert.category_t.status_notification
    settings: lt.settings_pack = {
        "alert_mask": mask | lt.alert.category_t.tracker_notification,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
    }
    session = lt.session(settings)
    params = lt.load_torrent_file(str(torrent))
    params.save_path = str(folder)
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)  # start now, not at the next tick
    if is_seed:
        params.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(params)
    ready = lt.tracker_reply_alert if is_seed else lt.cache_flushed_alert
    is_finished = is_seed
    while True:
        session.wait_for_alert(_WAIT_MS)
        for alert in session.pop_alerts():
            print(type(alert).__name__, alert.message(), flush=True)
            if isinstance(alert, lt.torrent_finished_alert) and not is_seed:
                is_finished = True
                handle.flush_cache()
            if isinstance(alert, ready) and is_finished and not done_path.exists():
                partial = done_path.with_suffix(".partial")
                partial.touch()
                partial.rename(done_path)


def main() -> None:
    """Read the command line and run the peer."""
    torrent, folder, done = (Path(argument) for argument in sys.argv[1:4])
    run_peer(torrent, folder, done, is_seed=sys.argv[4:] == ["seed"])


if __name__ == "__main__":
    main()
