"""What a release's overlays have for this node alone: found out when its images are there, and handed to who unpacks.

Which layers it gets is decided by `swarmboot.release.node_root` from what this machine says of itself. That is no
proof: whoever loads a release can read all of its overlays.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from leecher.boot import hand_off
from leecher.machine.identity import read_identity
from leecher.machine.this_boot import boot_card
from swarmboot.archive import Entry
from swarmboot.release.manifest import Role
from swarmboot.release.node_overlay import NodeFile, NodeOverlays, decode_files, decode_overlays, encode_files
from swarmboot.release.node_root import NodeFacts, NodeRoot, node_root
from swarmboot.release.profile import Selection
from swarmboot.settings import NodeSettings

ETC_HOSTS = "etc/hosts"
_OWN_ADDRESS = "127.0.1.1"


def own_root(
    selection: Selection, settings: NodeSettings, *, tell: Callable[[str], None], is_asked: bool = False
) -> NodeRoot:
    """Return what this node gets for itself of the images that it has; raise ManifestError if that cannot be read.

    With `is_asked` it says at least what is known of this node.
    """
    image = next((each for each in selection.artifacts if each.role is Role.NODES), None)
    secret = _secret_files(settings)
    if image is None and not secret and not is_asked:
        return NodeRoot()
    overlays = decode_overlays((settings.into / image.name).read_bytes()) if image else NodeOverlays()
    found = node_root(overlays, _facts(selection, settings), secret)
    for note in found.notes:
        tell(note)
    if found.files:
        tell(
            f"this node gets {len(found.files)} files of its own from {', '.join(found.layers) or 'the table of hosts'}"
        )
    return found


def _secret_files(settings: NodeSettings) -> tuple[NodeFile, ...]:
    path = settings.secrets.with_name(hand_off.OWN_SECRETS) if settings.secrets else None
    return decode_files(path.read_bytes()) if path and path.is_file() else ()


def _facts(selection: Selection, settings: NodeSettings) -> NodeFacts:
    own, address = boot_card(settings.server, settings.bind)
    others = sorted(read_identity().macs - {own})
    return NodeFacts((*others, *filter(None, [own])), settings.rack, selection.profile, address)


def write_own_files(found: NodeRoot, folder: Path) -> None:
    """Leave the files for `leecher.initramfs.root`, or nothing where there are none; raises OSError."""
    path = folder / hand_off.OWN_FILES
    path.unlink(missing_ok=True)
    if found.files or found.hostname:
        hand_off.write_private(path, encode_files(found.files))


def entry_of(file: NodeFile) -> Entry:
    """Return a file as an entry of an archive: root's, and nothing but a file or a link."""
    if file.target:
        return Entry(file.path, "link", target=file.target)
    return Entry(file.path, "file", file.mode, size_bytes=len(file.data), read=io.BytesIO(file.data).read)


def hosts_text(old: str, name: str) -> str:
    """Return hosts(5) with a line by which the machine's name leads to itself, as Debian has it; as it was if one does.

    A line of another name for the same address, as of the machine that an image was taken from, goes.
    """
    lines = old.splitlines()
    words = [line.partition("#")[0].split() for line in lines]
    if any(name in each[1:] for each in words):
        return old
    kept = [line for line, each in zip(lines, words, strict=True) if each[:1] != [_OWN_ADDRESS]]
    if not any(each[:1] == ["127.0.0.1"] for each in words):
        kept.insert(0, "127.0.0.1 localhost")
    short = name.partition(".")[0]
    return "".join(f"{line}\n" for line in [*kept, f"{_OWN_ADDRESS} {name}{f' {short}' if short != name else ''}"])
