"""libtorrent alone, tuned as a careful program would for one fast LAN: `python -m tests.bench.peer`.

peer TORRENT FOLDER ADDRESS DONEFILE            seed what FOLDER holds; DONEFILE says that the port is open
peer TORRENT FOLDER ADDRESS DONEFILE NEIGHBOUR  fetch from NEIGHBOUR; DONEFILE appears when all is there, by rename
"""

from __future__ import annotations

import sys
from pathlib import Path

import libtorrent as lt

PORT = 6881
_SETTINGS: lt.settings_pack = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "out_enc_policy": 2,
    "in_enc_policy": 2,
    "max_out_request_queue": 1500,
    "max_allowed_in_request_queue": 2000,
    "send_buffer_watermark": 4 << 20,
    "aio_threads": 2,
    "hashing_threads": 2,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
}


def run_peer(torrent: Path, folder: Path, address: str, done_path: Path, neighbour: str) -> None:
    """Run until killed; the file appears when the peer is ready, or complete if it has a neighbour."""
    session = lt.session({**_SETTINGS, "listen_interfaces": f"{address}:{PORT}", "outgoing_interfaces": address})
    params = lt.load_torrent_file(str(torrent))
    params.save_path = str(folder)
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if not neighbour:
        params.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(params)
    if neighbour:
        handle.connect_peer((neighbour, PORT))
    awaited = lt.torrent_finished_alert if neighbour else lt.listen_succeeded_alert
    while True:
        session.wait_for_alert(60_000)
        if any(isinstance(alert, awaited) for alert in session.pop_alerts()) and not done_path.exists():
            partial = done_path.with_suffix(".partial")
            partial.touch()
            partial.rename(done_path)


if __name__ == "__main__":
    run_peer(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), "".join(sys.argv[5:]))
