"""One blob put together: out of images that are there, by their lists of chunks, and for the rest by Range requests.

It grows under `.pulling/` in the site, which outlives a stop: what is right of it by the torrent's hashes is kept by
the next run. Only what is right to the last byte gets its name. What an old image gave wrongly is fetched.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from seeder.pull import byte_ranges
from seeder.pull.byte_ranges import ByteRanges
from seeder.pull.client import Remote, tried_again
from seeder.site.torrent import Hashes
from seeder.site.writer import Advance, SiteWriter, hash_source, source_file
from swarmboot.errors import ArtifactError
from swarmboot.host.files import move_into_place
from swarmboot.release import layout
from swarmboot.release.chunks import ChunkList, Copy, copies, gaps
from swarmboot.release.manifest import Artifact

FOLDER = ".pulling"
_AT_ONCE = 4
_REQUEST_BYTES = 1 << 23
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Brought:
    """Where an image's bytes came from: the other server, images that were here, an earlier run."""

    name: str
    size_bytes: int
    fetched_bytes: int
    copied_bytes: int
    kept_bytes: int


class Assembly:
    """Puts one artifact's blob together in the writer's site. `layer` has a hash a piece, none for a single piece."""

    def __init__(self, writer: SiteWriter, remote: Remote, artifact: Artifact, layer: Sequence[bytes]) -> None:
        self._writer, self._remote, self._artifact, self._layer = writer, remote, artifact, layer
        self._blob = layout.blob_path(artifact.sha256)
        self._partial = writer.path(FOLDER) / artifact.sha256.hex()
        self._fetched_bytes = 0
        self._stopped = threading.Event()

    def bring(self, chunks: ChunkList | None, olds: Mapping[Path, ChunkList], advance: Advance) -> Brought:
        """Put the blob in its place and say where it came from.

        Raises TransferError if bytes do not come, ArtifactError if those that come are not the ones that were signed,
        SpaceError if there is no room. What was right until then stays for the next run.
        """
        size_bytes = self._artifact.size_bytes
        is_resumed = self._open()
        found = copies(chunks, olds) if chunks else ()
        wrong = self._wrong(None) if is_resumed else self._all()
        kept_bytes = size_bytes - byte_ranges.size_of(wrong)
        advance(kept_bytes)
        copied_bytes = self._copy(found, wrong, advance)
        self._fetch(byte_ranges.common(gaps(found, size_bytes=size_bytes), wrong), advance)
        for is_last in (False, True):
            wrong = self._wrong(None)
            if not wrong:
                break
            if is_last:
                raise self._refusal(wrong)
            copied_bytes = max(0, copied_bytes - byte_ranges.size_of(wrong))
            self._fetch(wrong, lambda _bytes: None)
        with self._partial.open("r+b") as file:
            move_into_place(file, self._partial, self._writer.path(self._blob), mode=0o644)
        return Brought(self._artifact.name, size_bytes, self._fetched_bytes, copied_bytes, kept_bytes)

    def _open(self) -> bool:
        """Make the file, holes all of it, and return whether an earlier run has left one."""
        self._partial.parent.mkdir(exist_ok=True)
        is_resumed = self._partial.is_file()
        there_bytes = self._partial.stat().st_blocks * 512 if is_resumed else 0
        self._writer.check_space(max(0, self._artifact.size_bytes - there_bytes))
        with self._partial.open("ab") as file:
            file.truncate(self._artifact.size_bytes)
        return is_resumed

    def _all(self) -> ByteRanges:
        return ((0, self._artifact.size_bytes),)

    def _wrong(self, advance: Advance | None) -> ByteRanges:
        """Return what is not as it was signed, in whole pieces."""
        artifact = self._artifact
        source = source_file(self._partial, label=str(self._partial))
        hashes: Hashes = hash_source(source, piece_bytes=artifact.piece_bytes, advance=advance or (lambda _bytes: None))
        if hashes.sha256 == artifact.sha256:
            return ()
        if len(self._layer) != len(hashes.layer):
            return self._all()
        pairs = enumerate(zip(hashes.layer, self._layer, strict=True))
        bad = [index for index, (found, right) in pairs if found != right]
        return (
            byte_ranges.of_pieces(bad, piece_bytes=artifact.piece_bytes, size_bytes=artifact.size_bytes) or self._all()
        )

    def _copy(self, found: Iterable[Copy[Path]], wrong: ByteRanges, advance: Advance) -> int:
        """Copy what older images have of what is wrong, and return how many bytes that was."""
        copied_bytes = 0
        with self._partial.open("r+b", buffering=0) as target:
            for copy in found:
                for first, size in byte_ranges.common(((copy.first_byte, copy.size_bytes),), wrong):
                    shift = copy.source_first_byte - copy.first_byte
                    _copy_bytes(copy.source, target.fileno(), first + shift, first, size)
                    copied_bytes += size
                    advance(size)
        return copied_bytes

    def _fetch(self, wanted: ByteRanges, advance: Advance) -> None:
        """Fetch these bytes, several requests at a time; a stop ends all of them within a part."""
        with self._partial.open("r+b", buffering=0) as target, ThreadPoolExecutor(_AT_ONCE) as pool:
            requests = byte_ranges.in_requests(wanted, most_bytes=_REQUEST_BYTES)
            futures = [pool.submit(self._fetch_one, target.fileno(), *request, advance) for request in requests]
            with ExitStack() as on_failure:
                on_failure.callback(pool.shutdown, wait=True, cancel_futures=True)
                on_failure.callback(self._stopped.set)  # called first
                for future in as_completed(futures):
                    self._fetched_bytes += future.result()
                on_failure.pop_all()

    def _fetch_one(self, target: int, first_byte: int, size_bytes: int, advance: Advance) -> int:
        """Write one part into the file, tried again from where it broke off, and return its size."""
        done = 0

        def go_on() -> None:
            nonlocal done
            if self._stopped.is_set() or done == size_bytes:
                return
            for data in self._remote.part(self._blob, first_byte=first_byte + done, size_bytes=size_bytes - done):
                os.pwrite(target, data, first_byte + done)
                done += len(data)
                advance(len(data))
                if self._stopped.is_set():
                    return

        tried_again(go_on)
        return done

    def _refusal(self, wrong: ByteRanges) -> ArtifactError:
        artifact = self._artifact
        return ArtifactError(
            f"{self._remote.url}/{self._blob}, which is {artifact.name}, holds other bytes than were signed",
            expected=f"sha256 {artifact.sha256.hex()}",
            found=f"wrong from byte {wrong[0][0]} on",
            hint="run `swarmboot verify` on that site",
        )


def _copy_bytes(source: Path, target: int, source_first: int, first: int, size_bytes: int) -> None:
    """Copy bytes from a file; what it lacks is left as it is, to be found out by the hashes."""
    with source.open("rb", buffering=0) as file:
        while size_bytes and (data := os.pread(file.fileno(), min(size_bytes, _COPY_BYTES), source_first)):
            os.pwrite(target, data, first)
            source_first, first, size_bytes = source_first + len(data), first + len(data), size_bytes - len(data)
