"""A boot's lazy window: its images are in use while they arrive (docs/decisions/0056).

The server of reads (`leecher.lazy`) is another process, which has started this one. It is told what to serve, and says
which pieces are read and which of them reads wait for. When the boot set is there somebody is told where the images can
be read; when all is there and right, the server exchanges the files, and this window is over. Where the server cannot
begin, because this kernel lacks something, there is no window, and the boot waits for all of it.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

import trio

from leecher.boot.reports.boot_trace import BootTrace
from leecher.lazy.image import ImageFacts
from leecher.lazy.link import VARIABLE, Link, images_text
from leecher.neighbour.stage0 import sha256_of
from leecher.origin.threads import caller
from leecher.policy.events import PieceRead
from leecher.swarm.fetch_loop import FetchLoop
from leecher.swarm.fetcher import Fetcher
from leecher.swarm.metadata import layer_of
from leecher.swarm.reads import Reads
from swarmboot.errors import ArtifactError, LostRootError, ResourceError
from swarmboot.host.files import write_whole
from swarmboot.ids import PieceIndex
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact, Role
from swarmboot.release.trace import Read, format_trace

Devices = Mapping[str, str]
"""Where images can be read, by their names: loop devices."""
STATE = "lazy.json"
"""Says, in the folder of the images, where they can be read, and since when from memory alone."""
TRACE = "trace"
_TRIES = 3
"""A flush that is asked for while another is under way may be over with that one."""


def open_link(environment: MutableMapping[str, str] = os.environ) -> Link | None:
    """Return this process's end to the server of reads that has started it, if one has; the first time only."""
    number = environment.pop(VARIABLE, "")
    return Link(socket.socket(fileno=int(number))) if number.isdigit() else None


class LazyWindow:
    """One boot's, of images that arrive in `into`. `tell` takes lines for the console.

    `ready` is called with the devices when the boot set is there: from then on they are in use, as they are if an
    earlier process had come that far below the same server. `boot_trace` is told of every read, and has the window held
    open until it has all of them.
    """

    def __init__(
        self,
        link: Link,
        fetch_loop: FetchLoop,
        artifacts: tuple[Artifact, ...],
        *,
        into: Path,
        ready: Callable[[Devices], None],
        tell: Callable[[str], None],
        boot_trace: BootTrace | None = None,
    ) -> None:
        self.exchange_ms = 0.0
        self._link = link
        self._fetch_loop = fetch_loop
        self._images = tuple(each for each in artifacts if each.is_mounted)
        self._unpacked = tuple(each for each in artifacts if not each.is_mounted)
        self._into = into
        self._ready = ready
        self._tell = tell
        self._devices: tuple[str, ...] = ()
        self._fault = self._refusal = ""
        self._is_in_use = _is_begun(into / STATE)
        self._boot_trace = None if self._is_in_use else boot_trace  # what was read before this process nobody knows now
        self._is_done = self._is_whole = self._is_lost = False
        self._layers: list[tuple[bytes, ...]] = []
        self._news = trio.Event()

    @property
    def has_boot_trace(self) -> bool:
        """Return whether all that this boot has read is known."""
        return self._boot_trace is not None and self._is_done

    @property
    def _fetcher(self) -> Fetcher:
        return self._fetch_loop.fetcher

    async def run(self, documents: Mapping[str, bytes], is_sealed: trio.Event) -> None:
        """Serve reads, and say when the boot set is there, and `is_sealed` what else a boot goes on with.

        Raises ResourceError if its server fails, LostRootError if images in use will never be whole then.
        """
        for artifact in self._unpacked:
            if artifact.role is Role.ROOT:
                self._tell(f"{artifact.name} is unpacked and not mounted: it is fetched whole first, lazy or not")
        if not self._images:
            return
        fetcher = self._fetcher
        await self._fetch_loop.until(lambda: fetcher.has_joined)
        assert fetcher.swarm is not None
        fetcher.reads = Reads(
            fetcher.policy, fetcher.swarm, fetcher.announcer, came=lambda: self._link.send("came"), tell=self._tell
        )
        threading.Thread(target=self._hear, args=(caller(self._wake),), name="lazy window", daemon=True).start()
        self._layers = [layer_of(each, documents[layout.torrent_path(each.info_hash)]) for each in self._images]
        if self._boot_trace is not None:
            self._link.send("trace")
        self._link.send("images", images_text(self._facts()))
        await self._until(self._has_answer)
        if self._refusal:
            self._tell(f"images cannot be read before they are whole: {self._refusal}; fetching all of it first")
            return
        await self._fetch_loop.until(lambda: fetcher.policy.is_ready)
        await is_sealed.wait()
        for artifact in self._unpacked:
            await self._name(artifact)
        self._check()
        self._write_state()
        self._is_in_use = True
        self._link.send("used")
        self._ready(self._by_name)
        await self._until(lambda: self._is_done)  # its end before is a fault

    async def _name(self, artifact: Artifact) -> None:
        """Have a whole image, which is unpacked and not mounted, found by its name before it is given that.

        The link that does so goes when it is. Raises ArtifactError if it is not what was signed.
        """
        for _ in range(_TRIES):
            await self._fetch_loop.flush(artifact.info_hash)
            place = self._fetcher.places.path(artifact.info_hash)
            if await trio.to_thread.run_sync(sha256_of, place) == artifact.sha256:
                break
        else:
            raise ArtifactError(f"{artifact.name} is not what was signed", hint="suspect this machine's memory")
        name = self._into / artifact.name
        if place != name:
            name.unlink(missing_ok=True)
            name.symlink_to(place.relative_to(self._into))

    @property
    def _by_name(self) -> Devices:
        return dict(zip((image.name for image in self._images), self._devices, strict=True))

    def _write_state(self) -> None:
        state = {"devices": self._by_name, "exchange_ms": self.exchange_ms if self._is_done else None}
        write_whole(self._into / STATE, json.dumps(state).encode(), mode=0o644, is_flushed=False)

    def _facts(self) -> list[ImageFacts]:
        """Return the images where they are now: one that is whole has its name."""
        return [
            ImageFacts(str(self._path(image)), image.size_bytes, image.piece_bytes, layer)
            for image, layer in zip(self._images, self._layers, strict=True)
        ]

    def _path(self, image: Artifact) -> Path:
        named = self._into / image.name
        return named if self._is_whole else self._fetcher.places.path(image.info_hash)

    def _hear(self, wake: Callable[[], None]) -> None:
        """Take in what the server of reads says, in a thread of its own."""
        for word, rest in self._link.lines():
            words = rest.split()
            match word:
                case "read" | "wait":
                    image = self._images[int(words[0])]
                    fact = PieceRead(image.info_hash, PieceIndex(int(words[1])), is_missing=word == "wait")
                    self._fetcher.inbox.post(fact)
                    continue
                case "touch":
                    if self._boot_trace is not None:
                        self._boot_trace.touch(rest)
                    continue
                case "loops":
                    self._devices = tuple(words)
                case "done":
                    self.exchange_ms, self._is_done = float(rest), True
                case "fault" if not (self._devices or self._is_in_use):
                    self._refusal = rest
                case "fault":  # of an exchange that fails nothing is lost: the server goes on
                    self._fault, self._is_lost = rest, not self._devices
            wake()
        if not self._is_done:
            self._fault, self._is_lost = self._fault or "it has ended", self._is_in_use
            wake()

    def _wake(self) -> None:
        self._news.set()

    def _has_answer(self) -> bool:
        return bool(self._devices or self._refusal)

    def release_is_gone(self) -> None:
        """Occurs when no origin has the images any more; raises LostRootError if they are in use."""
        if self._is_in_use:
            raise LostRootError("what is not here of the root in use is gone from every origin", hint="reboot")

    def _check(self) -> None:
        if self._fault:
            kind = LostRootError if self._is_lost else ResourceError
            raise kind(f"the server of reads failed: {self._fault}", hint="boot without swarmboot.lazy=on, and tell us")

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._check()
            await self._news.wait()
            self._news = trio.Event()

    async def finish(self) -> None:
        """Have the files exchanged, all of which are whole and right; raises as `run` if that fails."""
        if not self._images:
            return
        self._is_whole = True
        await self._until(self._has_answer)
        if self._refusal:
            return
        if self._boot_trace is not None:
            self._link.send("images", images_text(self._facts()))  # what was not opened yet has another name by now
            await self._boot_trace.until_up(self._check)
        self._link.send("whole", images_text(self._facts()))
        await self._until(lambda: self._is_done)
        self._write_state()
        self._tell(f"all is there; its files took the place of those that arrived in {self.exchange_ms:g} ms")
        write_whole(self._into / TRACE, self.trace().encode(), mode=0o644, is_flushed=False)

    def trace(self) -> str:
        """Return what was read in this window so far, as a trace."""
        if self._boot_trace is not None:
            return self._boot_trace.text(
                [each.name for each in self._images], [each.size_bytes for each in self._images]
            )
        reads = self._fetcher.reads
        images = {image.info_hash: image for image in self._images}
        touched = reads.touched if reads else {}
        pieces = ((images[h], index) for h, index in touched)
        return format_trace((image.name, _read_of(image, index)) for image, index in pieces)


def _is_begun(state: Path) -> bool:
    """Return whether an earlier process has said that images are in use, and not that it is over."""
    return state.is_file() and json.loads(state.read_text())["exchange_ms"] is None


def _read_of(image: Artifact, index: int) -> Read:
    first_byte = index * image.piece_bytes
    return Read(first_byte, min(image.piece_bytes, image.size_bytes - first_byte))
