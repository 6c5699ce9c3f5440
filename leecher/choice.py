"""What of a release this node gets, and where its images are while they arrive.

Asked twice where the boot has a head start (`leecher.headstart`): before the first lease is taken, and by the boot.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from leecher.identity import read_identity
from leecher.space import check_space
from leecher.unpackers import check_unpackers
from swarmboot.manifest import Artifact, Manifest, Role
from swarmboot.profile import Selection, select
from swarmboot.settings import NodeSettings

PARTIAL = ".partial"


def partial_name(artifact: Artifact) -> str:
    """Return where an image is while it is not whole, under the directory the images go to."""
    return f"{PARTIAL}/{artifact.sha256.hex()}"


def is_begun(artifact: Artifact, into: Path) -> bool:
    """Return whether an earlier run has left an image behind, whole or not."""
    return any((into / name).exists() for name in (artifact.name, partial_name(artifact)))


def drop_others(manifest: Manifest, into: Path) -> None:
    """Remove what an earlier release has left of images that this manifest does not name: it would take room."""
    wanted = {artifact.sha256.hex() for artifact in manifest.artifacts}
    for path in (into / PARTIAL).glob("*"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)


def choose(manifest: Manifest, settings: NodeSettings, *, is_unpacked: bool) -> Selection:
    """Return what this node gets; raise SpaceError if it has no room for it, ToolMissingError if it cannot unpack it.

    `is_unpacked` asks for room to unpack the images in RAM as well. The directory that images go to must exist.
    """
    selection = select(manifest, name=settings.profile, identity=read_identity())
    needed_bytes = selection.size_bytes
    for artifact in selection.artifacts:
        for name in (artifact.name, partial_name(artifact)):
            with suppress(OSError):
                needed_bytes -= min(artifact.size_bytes, (settings.into / name).stat().st_blocks * 512)
    roles = (Role.ROOT, Role.PLUGIN) if is_unpacked else ()
    check_unpackers(each.format for each in selection.artifacts if each.role in roles)
    unpacked = [sum(each.unpacked_bytes for each in selection.artifacts if each.role is role) for role in roles]
    check_space(
        settings.into, needed_bytes=max(0, needed_bytes), reserve_bytes=settings.reserve,
        unpacked_bytes=unpacked, overlay=settings.overlay,
    )  # fmt: skip
    return selection
