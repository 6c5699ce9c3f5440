"""What of a release this node gets.

Asked twice where the boot has a head start (`leecher.boot.head_start`): before the first lease is taken, and by the
boot.
"""

from __future__ import annotations

from leecher.machine.identity import read_identity
from leecher.machine.space import check_space
from leecher.machine.unpackers import check_unpackers
from leecher.swarm.places import drop_others, missing_bytes
from swarmboot.release.manifest import Manifest, Role
from swarmboot.release.profile import Selection, select
from swarmboot.settings import NodeSettings


def choose(manifest: Manifest, settings: NodeSettings, *, is_unpacked: bool) -> Selection:
    """Return what this node gets; raise SpaceError if it has no room for it, ToolMissingError if it cannot unpack it.

    `is_unpacked` asks for room to unpack the images in RAM as well. Partial files of other releases are removed. The
    directory that images go to must exist.
    """
    selection = select(manifest, name=settings.profile, identity=read_identity())
    drop_others({artifact.sha256.hex() for artifact in manifest.artifacts}, settings.into)
    needed_bytes = sum(missing_bytes(each, settings.into, keeps_old=not is_unpacked) for each in selection.artifacts)
    roles = (Role.ROOT, Role.PLUGIN, Role.NODES) if is_unpacked else ()
    check_unpackers(each.format for each in selection.artifacts if each.role in roles)
    unpacked = [sum(each.unpacked_bytes for each in selection.artifacts if each.role is role) for role in roles]
    check_space(
        settings.into, needed_bytes=needed_bytes, reserve_bytes=settings.reserve_bytes,
        unpacked_bytes=unpacked, overlay=settings.overlay,
    )  # fmt: skip
    return selection
