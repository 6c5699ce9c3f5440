"""What live-boot leaves in a live system beside its root, as a layer over it. Reads the files given and nothing else.

live-boot mounts the medium at /run/live/medium and binds /run/live to /lib/live/mount (lib/live/boot/9990-main.sh):
there live-config looks for its configuration, hooks and preseeds. It copies the initramfs's name servers into an empty
/etc/resolv.conf. The images themselves are not there: who installs from a booted live system needs the medium.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from seeder.squashfs.reader import Inode
from swarmboot.archive import Entry

NAME = "90-live-medium.squashfs"
_MOUNT = "live/mount/medium/live"
_TMPFILES = b"# What live-boot mounts there.\nL /run/live - - - - /lib/live/mount\n"
_SERVERS = "/run/swarmboot/etc/resolv.conf"
"""Where the hook writes what DHCP has said to the initramfs (network.sh)."""
_MANAGERS = (b"sbin/NetworkManager", b"sbin/resolvconf", b"lib/systemd/systemd-resolved")
"""What writes /etc/resolv.conf itself."""


def layer_entries(root: Mapping[bytes, Inode], config: Mapping[str, Path]) -> Iterator[Entry]:
    """Yield the layer's entries, for a root by its paths, with files by where they lie below the medium's `live/`."""
    library = "lib" if b"lib" in root and root[b"lib"].kind == "folder" else "usr/lib"
    yield Entry(f"{library}/{_MOUNT}", "folder", 0o755)
    for name, path in sorted(config.items()):
        mode = 0o755 if name.startswith("config-hooks/") else 0o644
        yield _file(f"{library}/{_MOUNT}/{name}", path.read_bytes(), mode)
    yield _file("usr/lib/tmpfiles.d/swarmboot-live.conf", _TMPFILES)
    if _wants_servers(root):
        yield Entry("etc/resolv.conf", "link", 0o777, target=_SERVERS)


def _file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    return Entry(name, "file", mode, size_bytes=len(data), read=BytesIO(data).read)


def _wants_servers(root: Mapping[bytes, Inode]) -> bool:
    """Return whether the root's resolv.conf is empty, and nothing in it writes one."""
    found = root.get(b"etc/resolv.conf")
    is_empty = found is None or (found.kind == "file" and not found.size_bytes)
    return is_empty and not any(path in root or b"usr/" + path in root for path in _MANAGERS)
