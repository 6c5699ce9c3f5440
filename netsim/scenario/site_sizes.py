"""The sizes of a published release, read from its site. Sizes need no trust: nothing is booted from them here."""

from __future__ import annotations

from pathlib import Path

from netsim.scenario.scenario import Release
from swarmboot.release import layout, manifest, trust
from swarmboot.release.manifest import Role
from swarmboot.release.piece_set import piece_bytes_for


def sizes_of_site(folder: Path) -> Release:
    """Return what a node loads of the newest release; raise SiteError without one, ManifestError for a broken one."""
    newest = layout.manifest_numbers(layout.check_site(folder))[-1]
    data = (folder / layout.manifest_path(newest)).read_bytes()
    release = manifest.decode(trust.open_envelope(data, trust.Kind.MANIFEST).payload)
    root = release.root
    images = [each for each in release.artifacts if each.role in (Role.ROOT, Role.PLUGIN)]
    return Release(
        images=tuple(each.size_bytes for each in images),
        kernel_bytes=sum(each.size_bytes for each in release.with_role(Role.KERNEL)),
        initramfs_bytes=sum(each.size_bytes for each in release.with_role(Role.INITRAMFS)),
        piece_bytes=root.piece_bytes if root.piece_bytes != piece_bytes_for(root.size_bytes) else None,
    )
