"""The words with which the hook mounts what outlives a boot, in the root of this node.

Names of servers are looked up here, because the kernel's own mount of NFS wants an address (nfs(5), `addr=`), and no
helper is in the initramfs. That something is missing is found out by the hook, when it mounts.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress

from swarmboot.release.manifest import Manifest
from swarmboot.release.node_root import NodeRoot
from swarmboot.release.storage import CONTINUE, STOP, Mount, Storage, StorageError, mount_of
from swarmboot.setting_values import OFF
from swarmboot.settings import NodeSettings
from swarmboot.text.arguments import last_value

_NFS_PORT = 2049
_NOWHERE = "-"


def vouched_storage(manifest: Manifest, profile: str, baked: str) -> str:
    """Return what swarmboot.storage is by those who are believed: the release and its profile, as they are signed, else
    what was `baked` into the initramfs."""
    cmdlines = (manifest.cmdline, *(each.cmdline for each in manifest.profiles if each.name == profile))
    return last_value(" ".join(cmdlines), "swarmboot.storage") or baked


def storage_words(
    storage: Storage | None, own: NodeRoot, settings: NodeSettings, *, vouched: str, tell: Callable[[str], None]
) -> str:
    """Return TYPE SOURCE WHERE continue|stop OPTIONS, nothing where there is no storage or it is turned off.

    Where a release has nodes stop without storage, `vouched` alone turns it off (`vouched_storage`): the command line
    and a file beside the initramfs come over plain HTTP, and anybody on the LAN may write them.
    """
    if storage is None:
        return ""
    if settings.storage.lower() in OFF:
        if not storage.is_needed or vouched.lower() in OFF:
            return ""
        tell(
            "swarmboot.storage=off is passed over: the release has nodes stop without storage, and nothing signed or "
            "baked into the initramfs says off"
        )
    missing = STOP if storage.is_needed else CONTINUE
    try:
        mount = mount_of(storage, own.values)
    except StorageError as error:
        tell(str(error))
        return f"{storage.type} {_NOWHERE} {storage.where} {missing} ro"
    if not mount.server:
        return f"{mount.type} {mount.source} {mount.where} {missing} {mount.options}"
    address = _address(mount.server, tell)
    source = numeric(mount.source, address)
    return f"{mount.type} {source} {mount.where} {missing} {nfs_options(mount, address, own.values['address'])}"


def numeric(source: str, address: str) -> str:
    """Return an NFS source with the server's address in place of its name: busybox' mount looks names up by itself."""
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{source[source.index(':/') + 1 :]}" if address else source


def nfs_options(mount: Mount, server: str, client: str) -> str:
    """Return the options of an NFS mount without a helper: addresses, and what the initramfs has nobody for."""
    words = [mount.options, f"addr={server}" if server else ""]
    if mount.type == "nfs":
        words.append("nolock")
    else:
        words.append("" if "vers=" in mount.options or "minorversion=" in mount.options else "vers=4.2")
        words.append(f"clientaddr={client}" if client else "")
    return ",".join(filter(None, words))


def _address(server: str, tell: Callable[[str], None]) -> str:
    with suppress(ValueError):
        return str(ipaddress.ip_address(server))
    try:
        return str(socket.getaddrinfo(server, _NFS_PORT, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        tell(f"the server of storage, {server}, is not found: {error}")
        return ""
