"""Which release a bare machine boots: the channel's, that of its canary, or of a channel that was chosen in a menu.

Each has a queue of its own, so that neighbours, turns and what is loaded belong to that release. Nothing is believed
here: nodes check who signed the channel that they are told, and what it points to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seeder.boot_script.grammar import CommandLine
from seeder.boot_script.kernel_cmdline import node_cmdline
from seeder.boot_script.load import Stage0, stage0_of
from seeder.policy.facts.node import Node
from seeder.policy.stage0_queue import Stage0Queue, Verdict
from seeder.site.canaries import read_canary
from seeder.site.catalogue import Catalogue
from seeder.site.reader import pointed_number
from seeder.stage0.rack_map import Place
from swarmboot.errors import BlobError, ReleaseError, TrustError
from swarmboot.ids import Digest
from swarmboot.release.canary import Canary, is_canary
from swarmboot.release.manifest import Manifest
from swarmboot.release.profile import Identity, select
from swarmboot.wire.announce import Neighbour


@dataclass(slots=True)
class Served:
    """A release that machines boot and the queue of those who do; `told` is the channel they are told, if it is not
    the one that nodes boot by themselves."""

    queue: Stage0Queue
    manifest: Manifest | None = None
    channel: str = ""
    told: str = ""

    @property
    def words(self) -> str:
        """Return what it is, for a person."""
        what = f"{self.manifest.name}, manifest {self.manifest.sequence}" if self.manifest else "no release"
        return f"{what} (channel {self.told})" if self.told else what

    @property
    def stage0(self) -> Stage0:
        """Return what machines load; raise ReleaseError if there is nothing to boot."""
        if self.queue.stage0 is None:
            which = f" in channel {self.told}" if self.told else ""
            hint = "publish one with vmlinuz and initramfs.img in it"
            raise ReleaseError(f"this server has no release with a kernel and an initramfs{which}", hint=hint)
        return self.queue.stage0

    def cmdline(self, mac: str, place: Place, server: str) -> CommandLine:
        """Return the kernel command line of a machine; raise ReleaseError if there is nothing to boot, or no such."""
        stage0 = self.stage0
        assert self.manifest is not None
        chosen = select(self.manifest, name=place.profile, identity=Identity(frozenset({mac}))).profile
        profile = next((each for each in stage0.profiles if each.name == chosen), None)
        return node_cmdline(
            stage0, mac=mac, server=server, rack=place.rack, profile=profile, named=place.profile,
            is_kept=self.queue.trust.has_neighbours and not self.queue.is_split, channel=self.told,
        )  # fmt: skip


class ServedReleases:
    """The release of a site's channel, its canary's beside it, and those of other channels that are in menus."""

    def __init__(
        self, site: Path, channel: str, catalogue: Catalogue, queue: Stage0Queue, canary: Stage0Queue,
        in_menus: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._site, self._catalogue = site, catalogue
        self.main = Served(queue, channel=channel)
        self._other = Served(canary)
        self._in_menus = {name: Served(queue.another(), channel=name, told=name) for name in in_menus}
        self.canary: Canary | None = None
        self._said = ""

    @property
    def all(self) -> tuple[Served, ...]:
        """Return what is served, the channel's own release first."""
        canary = (self._other,) if self.canary is not None else ()
        return (self.main, *canary, *self._in_menus.values())

    @property
    def waiting(self) -> int:
        """Return how many machines wait for their turn, of whichever release."""
        return sum(each.queue.admission.waiting for each in self.all)

    @property
    def loading(self) -> int:
        """Return how many machines load, of whichever release."""
        return sum(each.queue.admission.loading for each in self.all)

    @property
    def neighbours(self) -> int:
        """Return how many booted nodes can serve stage 0, of whichever release."""
        return sum(each.queue.neighbours for each in self.all)

    def canary_status(self) -> dict[str, object] | None:
        """Return what there is to say of the canary on the status page, None without one."""
        if self.canary is None:
            return None
        queue = self._other.queue
        return {
            "channel": self.canary.source,
            "who": self.canary.who,
            "manifest": queue.stage0.sequence if queue.stage0 else 0,
            "waiting": queue.admission.waiting,
            "loading": queue.admission.loading,
        }

    def of(self, mac: str, rack: str, chosen: str = "") -> Served:
        """Return what a machine in a rack, empty if unknown, boots that has `chosen` a channel, or none."""
        if chosen in self._in_menus:
            return self._in_menus[chosen]
        return self._other if self.canary and is_canary(self.canary, mac=mac, rack=rack) else self.main

    def with_image(self, digest: Digest) -> tuple[Served, ...]:
        """Return those of which an image with this digest is loaded."""
        return tuple(each for each in self.all if each.queue.stage0 and digest in _digests(each.queue))

    def tick(self, *, now_s: float) -> list[Verdict]:
        """Return the answers that have become due."""
        return [verdict for each in self.all for verdict in each.queue.tick(now_s=now_s)]

    def next_tick_s(self, *, now_s: float) -> float | None:
        """Return when `tick` should be called next, None while nobody waits."""
        found = (each.queue.next_tick_s(now_s=now_s) for each in self.all)
        return min((at_s for at_s in found if at_s is not None), default=None)

    def invite(self, node: Node, now_s: float) -> tuple[Neighbour, ...] | None:
        """Return what `Stage0Queue.invite` does, for whichever release the node has."""
        answers = (each.queue.invite(node, now_s) for each in self.all)
        return next((answer for answer in answers if answer is not None), None)

    def more_for_node(self, host: str, sha256: str) -> float:
        """Return what `Stage0Queue.more_for_node` does."""
        return max(each.queue.more_for_node(host, sha256) for each in self.all)

    def follow(self) -> Iterator[Served | str]:
        """Take what the channel and its canary point to now; yield what is new, and lines of what cannot be."""
        if (manifest := self._pointed(self.main.channel)) is not None and self._take(self.main, manifest):
            yield self.main
        canary, fault = self._read_canary()
        if fault and fault != self._said:
            yield fault
        self._said = fault
        if canary is None:
            if self.canary is not None and not fault:
                yield f"the canary of channel {self.main.channel} is over: all machines boot that"
            self.canary, self._other.manifest = None, None
            self._other.queue.serve(None)
        elif canary != self.canary:
            self.canary = canary
            yield f"canary: channel {canary.source} in place of {canary.channel} for {canary.who}"
        if self.canary is not None and (manifest := self._pointed(self.canary.source)) is not None:
            self._other.channel = self._other.told = self.canary.source
            if self._take(self._other, manifest):
                yield self._other

        for each in self._in_menus.values():
            if (manifest := self._pointed(each.channel)) is not None and self._take(each, manifest):
                yield each

    def _read_canary(self) -> tuple[Canary | None, str]:
        """Return the canary if there is one that can be, and why not otherwise."""
        try:
            canary = read_canary(self._site, self.main.channel, None)
        except (BlobError, TrustError) as error:
            return self.canary, f"the canary cannot be read: {error}"
        if canary is None:
            return None, ""
        manifest = self._pointed(canary.source)
        own = self.main.manifest
        if manifest is None:
            return None, f"the canary is passed over: channel {canary.source} points to nothing that is here"
        if own is None or {canary.fleet, manifest.fleet} != {own.fleet}:
            return None, f"the canary is passed over: it, or channel {canary.source}, is another fleet's"
        if stage0_of(manifest) is None:
            return None, f"the canary is passed over: {canary.source}'s release has no kernel and initramfs"
        return canary, ""

    def _pointed(self, channel: str) -> Manifest | None:
        try:
            return self._catalogue.manifests.get(pointed_number(self._site, channel))
        except (BlobError, TrustError):
            return None

    def _take(self, served: Served, manifest: Manifest) -> bool:
        """Serve a manifest's stage 0; return whether it is another than before."""
        if manifest is served.manifest:
            return False
        served.manifest = manifest
        served.queue.serve(stage0_of(manifest))
        return True


def _digests(queue: Stage0Queue) -> set[Digest]:
    return {image.sha256 for image in queue.stage0.images} if queue.stage0 else set()
