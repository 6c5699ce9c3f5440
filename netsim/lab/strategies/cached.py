"""swarmboot where every node has kept an older release: a cache of real files and lists, the same for all nodes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, ClassVar

from netsim.lab.strategies.strategy import NodeProgram
from netsim.lab.strategies.swarmboot import Scatter, run_part
from swarmboot.release import layout, trust
from swarmboot.release.key_files import read_trust
from swarmboot.release.manifest import Role, decode

if TYPE_CHECKING:
    from pathlib import Path

    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

_READ_ONLY = 'mount --bind -o ro "$0" "$0" && exec "$@"'
"""A node does not keep what it fetched: that would take the machine's time from those who still fetch."""


class CachedScatter(Scatter):
    """As `Scatter`, with what the plan's older release has in a cache on every node; without one, the same release."""

    tools: ClassVar[dict[str, str]] = {"unshare": "util-linux", "mount": "mount"}

    def serve(self, context: RunContext) -> None:
        """Publish and start the seeder; publish the older release as well, and fill the cache from that."""
        super().serve(context)
        keys, site, cache = (context.directory / name for name in ("keys", "older-site", "cache"))
        older = context.plan.cache_from or context.payload.release
        run_part("swarmboot", "publish", "--force", str(older), "--site", str(site), "--key", f"{keys}/swarmboot.key")
        _fill(cache / "images", site, keys / "swarmboot.pub")
        shutil.rmtree(site)

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return a leecher that has the cache, read-only."""
        plain = super().join(context, node)
        cache = str(context.directory / "cache")
        return NodeProgram(
            ("unshare", "--mount", "sh", "-c", _READ_ONLY, cache, *plain.argv, "--cache", cache),
            done_path=plain.done_path,
            report_path=plain.report_path,
        )


def _fill(images: Path, site: Path, public: Path) -> None:
    """Lay out a site's images and their lists as a node's cache has them."""
    images.mkdir(parents=True)
    (envelope,) = (site / "manifests").iterdir()
    manifest = decode(trust.verify(envelope.read_bytes(), trust.Kind.MANIFEST, read_trust((public,))))
    for artifact in (*manifest.with_role(Role.ROOT), *manifest.with_role(Role.PLUGIN)):
        (site / layout.blob_path(artifact.sha256)).replace(images / artifact.sha256.hex())
        if artifact.chunks is not None:
            (site / layout.blob_path(artifact.chunks.sha256)).replace(images / f"{artifact.sha256.hex()}.chunks")
