"""The leecher as the initramfs hook runs it: `python -m leecher.initramfs fetch|seed|report TEXT|log`.

`fetch` brings the images into RAM and writes the hand-off, `seed` is the neighbour after the switch of roots, `report`
tells the seeder why the hook gave up, `log` what has been said since it was last told. Settings come from the kernel
command line over what was baked into the initramfs. Network faults are retried for as long as `swarmboot.timeout` says.
It will not mount, unpack or reboot.
"""

from __future__ import annotations

import math
import os

os.environ.setdefault("CRYPTOGRAPHY_OPENSSL_NO_LEGACY", "1")  # Debian ships OpenSSL's legacy provider separately

# isort: split
from leecher.machine import lean_start  # must come first

# isort: split
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NoReturn

from leecher.boot import hand_off
from leecher.boot.options import BootOptions
from leecher.boot.start import boot, process_started_s
from leecher.initramfs import node_log
from leecher.initramfs.node_settings import (
    BAKED,
    baked_defaults,
    baked_proving,
    beginning_of,
    kernel_cmdline,
    server_on,
    settings_of,
)
from leecher.initramfs.signature_process import SignatureProcess
from leecher.machine import clock, console
from leecher.machine.console import tell
from leecher.machine.space import read_own_bytes
from leecher.machine.this_boot import read_machine
from leecher.origin.connection_pool import Connections, tls_context
from leecher.origin.proving import Proving, proving_of
from leecher.origin.small_request import SmallRequest
from swarmboot.backoff import doubled_s, jittered_s
from swarmboot.crypto.fleet_token import encode_credentials
from swarmboot.errors import (
    KeyFileError,
    LostRootError,
    SpaceError,
    SwarmbootError,
    TransferError,
)
from swarmboot.ids import new_node_id, new_node_key
from swarmboot.release import manifest as manifests
from swarmboot.release.signature import checked_by
from swarmboot.setting_values import OFF
from swarmboot.settings import NodeSettings
from swarmboot.text.arguments import last_value
from swarmboot.text.units import format_size
from swarmboot.wire.announce import REPORT_PATH, WIRE_TYPE
from swarmboot.wire.report import FAILED, BootReport, encode_report

if TYPE_CHECKING:
    from leecher.boot.boot import Boot
    from leecher.boot.options import OnReady
    from leecher.boot.reports.reporting import FirstWord
    from swarmboot.release.manifest import Manifest
    from swarmboot.release.profile import Selection

STATE = Path("/run/swarmboot")
_PAUSE_S, _PAUSE_MAX_S = 1.0, 30.0
_REPORT_S, _LOG_S = 3.0, 3.0
_CREDENTIALS_MAX = 256
_LOOK_S = 1.0
_REBOOT_S = 10.0
_USAGE, _INTERRUPTED, _NOBODY = 64, 130, 65534


def pause_s(attempt: int, random: Random) -> float:
    """Return how long to wait before an attempt, counted from 1: doubling, with jitter."""
    return jittered_s(doubled_s(_PAUSE_S, _PAUSE_MAX_S, attempt), random)


def fetch(started_s: float) -> None:
    """Bring the images and write the hand-off; raises the SwarmbootError that ended it."""
    from leecher.initramfs.node_files import fetch_node_files, lay_down

    (STATE / "boot.json").unlink(missing_ok=True)  # an earlier attempt's, which would stand for one of this one's
    forced = {
        "into": str(STATE / "images"),
        "report": str(STATE / "boot.json"),
        "progress": "plain",
        "secrets": str(STATE / hand_off.FOLDER / hand_off.SECRETS),
        "cache": str(STATE / "cache") if (STATE / "cache").is_mount() else "off",
    }
    settings = settings_of({**forced, "linger": "off"})
    line = clock.clamp(settings.clock_unix_s)
    if line:
        tell(line)
    files = fetch_node_files(settings, proving_of(settings), tell=tell)
    if files:
        lay_down(files, state=STATE, settings=BAKED / "node")
        settings = settings_of({**forced, "linger": "off"})
    outlive_the_initramfs(settings)
    is_window = False

    def hand_over(manifest: Manifest, selection: Selection, devices: Mapping[str, str]) -> None:
        nonlocal is_window
        is_window = bool(devices)
        _hand_over(manifest, selection, settings, devices)

    try:
        booted = _boot(settings, started_s, hand_over, may_retry=lambda: not is_window)
    except LostRootError:  # it has been reported
        _reboot()
        raise
    if is_window:  # what a leecher that is started again would have needed
        (STATE / "etc" / "fleet.token").unlink(missing_ok=True)
        (STATE / hand_off.FOLDER / hand_off.SECRETS).unlink(missing_ok=True)
        return
    assert booted.manifest is not None
    assert booted.selection is not None
    hand_over(booted.manifest, booted.selection, {})
    tell(f"the leecher has {format_size(read_own_bytes())} of memory of its own")


def outlive_the_initramfs(settings: NodeSettings) -> None:
    """Have systemd leave this process alone at the switch of roots, if it is one that goes on fetching after that."""
    if settings.lazy:
        from leecher.lazy.guard import mark_as_storage
        from leecher.lazy.link import VARIABLE

        if VARIABLE in os.environ:
            mark_as_storage()


def _reboot() -> None:
    """Reboot a machine whose root has lost what was not in memory yet: nobody else could any more (proc(5))."""
    tell(f"what of the root was not read yet is lost; rebooting in {_REBOOT_S:.0f} s")
    time.sleep(_REBOOT_S)
    Path("/proc/sysrq-trigger").write_text("b")


def _hand_over(manifest: Manifest, selection: Selection, settings: NodeSettings, devices: Mapping[str, str]) -> None:
    """Write what the hook goes on with."""
    from leecher.initramfs.own_files import own_root, write_own_files  # a seed needs neither
    from leecher.initramfs.storage import storage_words, vouched_storage

    tokens = proving_of(settings).tokens
    credentials = encode_credentials(new_node_id(), new_node_key(), tokens[0]) if tokens else ""
    hand_off.write_secret(STATE / hand_off.FOLDER / hand_off.CREDENTIALS, credentials)
    own = own_root(selection, settings, tell=tell, is_asked=manifest.storage is not None)
    vouched = vouched_storage(manifest, selection.profile, baked_defaults(BAKED).get("storage", ""))
    storage = storage_words(manifest.storage, own, settings, vouched=vouched, tell=tell)
    write_own_files(own, STATE / hand_off.FOLDER)
    if settings.cache:
        (STATE / hand_off.FOLDER / hand_off.KEEP).write_bytes(manifests.encode(manifest))
    hand_off.write(hand_off.hand_off_of(manifest, selection, settings, own, storage), STATE / hand_off.FOLDER, devices)


def _boot(settings: NodeSettings, started_s: float, on_ready: OnReady, *, may_retry: Callable[[], bool]) -> Boot:
    """Boot, and again after a network fault while it may, until it is done or `swarmboot.timeout` is over.

    It may not once a root is in use: the server of reads starts another process then, and hears that.
    """
    random, attempt, left_s = Random(), 0, settings.timeout_s
    ends_s = time.monotonic() + (settings.timeout_s or math.inf)
    while True:
        try:
            log = partial(node_log.kernels_lines, STATE) if settings.log else lambda: None
            bounded = replace(settings, timeout_s=left_s)
            return boot(BootOptions(bounded, started_s, is_unpacked=True, log=log, on_ready=on_ready))
        except TransferError as error:
            if not may_retry():
                raise
            attempt += 1
            wait_s = pause_s(attempt, random)
            if time.monotonic() + wait_s >= ends_s:
                raise
            tell(f"{error}; trying again in {wait_s:.0f} s")
            time.sleep(wait_s)
            if settings.timeout_s:
                left_s = ends_s - time.monotonic()
                if left_s <= 0:  # it slept for longer than it was to; and 0 would be no limit
                    raise


def seed(started_s: float) -> None:
    """Be a neighbour with the images that are there, until stopped; return at once where seeding is off.

    Standard input holds the credentials that `fetch` has left, where there is a fleet token; the token itself is gone.
    """
    forced = {"into": str(STATE / "images"), "progress": "none", "linger": "on", "timeout": "0", "report": ""}
    settings = settings_of({**forced, "reserve": "0", "fleet_token": "", "secrets": "", "cache": "off"})
    credentials = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.readline(_CREDENTIALS_MAX)
    if settings.seed_bytes_per_s:
        lean_start.import_trio()  # which what follows imports
        wait_for_the_window()
        lines = node_log.seeds_lines(STATE) if settings.log else None
        give_up_root()
        signatures = SignatureProcess()
        limit = min(settings.seed_bytes_per_s, settings.up_bytes_per_s or settings.seed_bytes_per_s)
        settings = replace(settings, up_bytes_per_s=limit)
        word = _first_word()
        with closing(signatures), checked_by(signatures.is_good):
            boot(
                BootOptions(
                    settings, started_s, credentials=credentials, first_word=word, on_whole=signatures.close,
                    log=lambda: lines,
                )
            )  # fmt: skip


def wait_for_the_window() -> None:
    """Wait until images that were in use before they were whole are: until then their own leecher gives them."""
    state = STATE / "images" / "lazy.json"
    if state.is_file():
        from leecher.boot.reports.boot_trace import mark_as_up

        mark_as_up(STATE)
    while state.is_file() and '"exchange_ms": null' in state.read_text():
        time.sleep(_LOOK_S)


def _first_word() -> FirstWord:
    """Return what a booted system says to the seeder: nothing if this service was only started again."""
    from leecher.boot.reports.reporting import FirstWord, word_of_a_booted_system

    said, left = STATE / "stage0" / ".booted", STATE / "boot.json"
    if said.is_symlink() or said.exists():
        return FirstWord(None)

    def note() -> None:
        with suppress(OSError):
            os.close(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    return FirstWord(word_of_a_booted_system(beginning_of(left) if left.is_file() else ""), note)


def give_up_root() -> None:
    """Become nobody where nothing has seen to it before: an init script may not know how."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


@dataclass(frozen=True, slots=True)
class _Reach:
    """How the seeder is reached, where one is configured, whatever else is wrong with a boot's settings."""

    server: str
    authority: Path | None
    bind: str
    proving: Proving
    has_log: bool


def _reach() -> _Reach:
    try:
        settings = settings_of({})
        return _Reach(settings.server, settings.ca, settings.bind, proving_of(settings), settings.log is not None)
    except SwarmbootError:
        cmdline = kernel_cmdline()
        has_log = (last_value(cmdline, "swarmboot.log") or "on").lower() not in OFF
        return _Reach(server_on(cmdline), BAKED / "ca.pem", "", baked_proving(BAKED), has_log)


def report(failure: str) -> None:
    """Tell the seeder why this boot failed, if it did, and what has been said since it was last told.

    Where none is configured, or it does not listen within three seconds, nobody is told.
    """
    reach, node = _reach(), new_node_id()
    prover = reach.proving.node(node)
    try:
        if not reach.server:
            return
        connections = Connections(tls_context(reach.authority), bind=reach.bind, connect_s=_REPORT_S)
        with closing(connections):
            if failure:
                failed = BootReport(node.hex(), FAILED, error=failure[:1024], finished_unix_s=time.time())
                failed = replace(failed, **asdict(read_machine(reach.server, reach.bind)))
                SmallRequest(
                    connections, f"{reach.server}{REPORT_PATH}", max_bytes=4096, body=encode_report(failed),
                    media_type=WIRE_TYPE, silent_s=_REPORT_S, prover=prover,
                ).run()  # fmt: skip
            if reach.has_log and reach.server.startswith("https:"):
                node_log.send_rest(reach.server, connections, node, prover, state=STATE, within_s=_LOG_S)
    except (TransferError, KeyFileError) as error:
        tell(f"the failure could not be reported: {error}")


def main() -> NoReturn:
    """Do what the arguments say and exit with the error's own status (see `swarmboot.errors`)."""
    verb, *rest = sys.argv[1:] or [""]
    started_s = process_started_s()
    verbs = {
        "fetch": lambda: fetch(started_s),
        "seed": lambda: seed(started_s),
        "report": lambda: report(" ".join(rest)),
        "log": lambda: report(""),
    }
    if verb not in verbs:
        print("usage: python -m leecher.initramfs fetch|seed|report TEXT|log", file=sys.stderr)
        sys.exit(_USAGE)
    with nullcontext() if verb == "seed" else console.also_to(node_log.mirror):
        _run(verb, verbs[verb])


def _run(verb: str, work: Callable[[], None]) -> NoReturn:
    try:
        work()
    except KeyboardInterrupt:
        sys.exit(0 if verb == "seed" else _INTERRUPTED)
    except SwarmbootError as error:
        _refuse(error, is_reported=not _is_early(error))
    except OSError as error:
        _refuse(SpaceError(f"{error.filename or 'the images'}: {error.strerror or error}"), is_reported=False)
    sys.exit(0)


def _is_early(error: SwarmbootError) -> bool:
    """Return whether an error occurred before the boot could have reported it: bad settings or keys."""
    return not (STATE / "boot.json").exists() and not isinstance(error, TransferError)


def _refuse(error: SwarmbootError, *, is_reported: bool) -> NoReturn:
    tell(str(error))
    if not is_reported:
        report(str(error))
    sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
