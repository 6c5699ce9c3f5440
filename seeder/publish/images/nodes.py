"""A release's overlays as one more file to publish: written beside it for as long as it is copied into the site."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from seeder.publish.release_dir import Release, ReleaseFile
from swarmboot.errors import ManifestError, ReleaseError
from swarmboot.release.manifest import Role
from swarmboot.release.node_overlay import (
    IMAGE_FORMAT,
    IMAGE_NAME,
    OVERLAYS_MAX_BYTES,
    decode_overlays,
    encode_overlays,
)
from swarmboot.text.units import format_size


@contextmanager
def with_nodes(release: Release) -> Iterator[Release]:
    """Give the release with an image of its nodes' overlays among its files, if it has any.

    Raises ReleaseError if they are larger than nodes take.
    """
    if release.overlays is None:
        yield release
        return
    data = encode_overlays(release.overlays)
    try:
        decode_overlays(data)
    except ManifestError as error:
        raise ReleaseError(
            "the release's nodes/ cannot be published", expected=f"at most {format_size(OVERLAYS_MAX_BYTES)} in all",
            found=error.what, hint="put what is large into a plugin, and choose it by a profile",
        ) from error  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="swarmboot-nodes.") as folder:
        path = Path(folder, IMAGE_NAME)
        path.write_bytes(data)
        file = ReleaseFile(path, "nodes/", IMAGE_NAME, Role.NODES, IMAGE_FORMAT, len(data))
        yield replace(release, files=(*release.files, file))
