"""A node's own files, asked for in private where there is a fleet token, and laid down for the initramfs.

Where there is none they come beside the initramfs over plain HTTP, as `swarmboot serve --node-files` gives them to
loaders. Asked for like this they come once the network is up. They may bring settings (etc/swarmboot/node) and anything
else below etc/ and run/, but nothing that says what is trusted. A seeder that cannot be reached is waited for only a
moment, because neighbours may do without it; then the node goes on without its files and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from leecher.boot import hand_off
from leecher.machine.identity import read_identity
from leecher.origin.connection_pool import Connections, tls_context
from leecher.origin.proving import Proving
from leecher.origin.small_request import SmallRequest
from swarmboot.codec import DecodeError
from swarmboot.crypto.fleet_token import NODE_FILES_PATH
from swarmboot.errors import OriginError, ProtocolError, TransferError, UnknownSettingError
from swarmboot.ids import new_node_id
from swarmboot.settings import NodeSettings
from swarmboot.wire.announce import WIRE_TYPE
from swarmboot.wire.private import FILES_MAX_BYTES, NodeFiles, decode_files, encode_files_wanted

SETTINGS = "etc/swarmboot/node"
LIST = "node-files"
FOLDER = "node-files.new"
PATIENCE_S = 5.0
_ANSWER_S, _PAUSE_S = 2.0, 0.5
_TOPS = ("etc", "run")
_OURS = ("etc/swarmboot/", "run/swarmboot/")


def fetch_node_files(
    settings: NodeSettings, proving: Proving, *, tell: Callable[[str], None], patience_s: float = PATIENCE_S
) -> NodeFiles:
    """Return this node's files; none where nobody is to be asked, or the seeder does not give them in time.

    Raises KeyFileError for an unusable authority, UnknownSettingError for a file that may not be there.
    """
    prover = proving.fleet(new_node_id())
    if prover is None or not settings.server.startswith("https:"):
        return {}
    connections = Connections(tls_context(settings.ca), bind=settings.bind, connect_s=_ANSWER_S)
    request = SmallRequest(
        connections, f"{settings.server}{NODE_FILES_PATH}", max_bytes=FILES_MAX_BYTES,
        body=encode_files_wanted(read_identity().macs), media_type=WIRE_TYPE, silent_s=_ANSWER_S, prover=prover,
    )  # fmt: skip
    deadline_s = time.monotonic() + patience_s
    try:
        return check_files(_asked(request, deadline_s))
    except TransferError as error:
        tell(f"{error}; going on without this node's own files")
        return {}
    finally:
        connections.close()


def _asked(request: SmallRequest, deadline_s: float) -> NodeFiles:
    while True:
        try:
            request.run()
            return decode_files(request.answer)
        except OriginError:
            raise
        except DecodeError as error:
            raise ProtocolError(f"{request.url} gives something else than files: {error}") from error
        except TransferError:
            if time.monotonic() + _PAUSE_S >= deadline_s:
                raise
            time.sleep(_PAUSE_S)


def check_files(files: NodeFiles) -> NodeFiles:
    """Return files that may all be laid down; raise UnknownSettingError naming one that may not."""
    for path in files:
        is_ours = path.startswith(_OURS) or path in (ours.rstrip("/") for ours in _OURS)
        if path.partition("/")[0] not in _TOPS or "/" not in path or (is_ours and path != SETTINGS):
            raise UnknownSettingError(
                f"the node file {path} may not come over the network",
                expected=f"{SETTINGS}, or files below etc/ and run/ that are not swarmboot's",
                hint="take it out of --node-files",
            )
    return files


def lay_down(files: NodeFiles, *, state: Path, settings: Path) -> None:
    """Write the files where the hook takes them from, with a list of them, and the settings to where those are read.

    `state` is the hook's own folder; raises OSError.
    """
    folder = state / FOLDER
    for path, (mode, data) in files.items():
        _write(folder / path, data, mode)
    (state / hand_off.FOLDER).mkdir(parents=True, exist_ok=True)
    (state / hand_off.FOLDER / LIST).write_text("".join(_lines(files)))
    if SETTINGS in files:
        _write(settings, files[SETTINGS][1], 0o644)


def _lines(files: NodeFiles) -> Iterator[str]:
    return (f"{PurePosixPath(path)}\n" for path in sorted(files))


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(data)
    path.chmod(mode & 0o755)
