"""A fetcher on paper, run below the real server of reads: `FOLDER FAULT IMAGE...` (`leecher.lazy`).

Each piece of an IMAGE is written when a read waits for it, by FAULT wrong the first time, or not at all (`never`), and
all that is lacking when `FOLDER/go` appears; then the files are exchanged, and `FOLDER/done` says in how many
milliseconds. By FAULT it ends before that (`ends`), with status 24, when there are devices and `FOLDER/end` appears.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import time
from pathlib import Path

from leecher.lazy.image import ImageFacts
from leecher.lazy.link import VARIABLE, Link, images_text
from swarmboot.release.merkle import BLOCK_BYTES, NO_BLOCK, merkle_root, piece_root

PIECE_BYTES = 1 << 16


def layer_of(data: bytes, piece_bytes: int = PIECE_BYTES) -> tuple[bytes, ...]:
    """Return the hashes of an image's pieces, of one piece its root (BEP 52)."""
    layer = []
    for start in range(0, len(data), piece_bytes):
        piece = data[start : start + piece_bytes]
        blocks = [hashlib.sha256(piece[at : at + BLOCK_BYTES]).digest() for at in range(0, len(piece), BLOCK_BYTES)]
        is_only = len(data) <= piece_bytes
        layer.append(merkle_root(blocks, pad=NO_BLOCK) if is_only else piece_root(blocks, piece_bytes // BLOCK_BYTES))
    return tuple(layer)


class PaperFetcher:
    """Writes pieces of images as they are waited for."""

    def __init__(self, folder: Path, fault: str, images: list[Path]) -> None:
        self._folder = folder
        self._fault = fault
        self._link = Link(socket.socket(fileno=int(os.environ[VARIABLE])))
        self._whole = [image.read_bytes() for image in images]
        self._facts = [
            ImageFacts(str(folder / f"arriving{number}"), len(data), PIECE_BYTES, layer_of(data))
            for number, data in enumerate(self._whole)
        ]
        for facts in self._facts:
            with Path(facts.path).open("wb") as file:
                file.truncate(facts.size_bytes)
        self._tried: set[tuple[int, int]] = set()

    def run(self) -> None:
        """Serve reads until the files have been exchanged."""
        threading.Thread(target=self._go, daemon=True).start()
        self._link.send("images", images_text(self._facts))
        for word, rest in self._link.lines():
            match word:
                case "loops":
                    (self._folder / "loops.new").write_text(rest)
                    (self._folder / "loops.new").rename(self._folder / "loops")
                    if self._fault == "ends":
                        _wait_for(self._folder / "end")
                        sys.exit(24)
                case "wait" if self._fault == "never":
                    (self._folder / "waited").touch()
                case "wait":
                    image, index = map(int, rest.split())
                    self._write(image, index, is_wrong=bool(self._fault) and (image, index) not in self._tried)
                    self._tried.add((image, index))
                    self._link.send("came")
                case "done" | "fault":
                    (self._folder / "done.new").write_text(rest)
                    (self._folder / "done.new").rename(self._folder / "done")
                    return

    def _write(self, image: int, index: int, *, is_wrong: bool) -> None:
        first_byte = index * PIECE_BYTES
        piece = self._whole[image][first_byte : first_byte + PIECE_BYTES]
        with Path(self._facts[image].path).open("r+b") as file:
            file.seek(first_byte)
            file.write(bytes(len(piece)) if is_wrong else piece)

    def _go(self) -> None:
        _wait_for(self._folder / "go")
        for image, data in enumerate(self._whole):
            for index in range(-(-len(data) // PIECE_BYTES)):
                self._write(image, index, is_wrong=False)
        self._link.send("whole", images_text(self._facts))


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


if __name__ == "__main__":
    PaperFetcher(Path(sys.argv[1]), sys.argv[2], [Path(word) for word in sys.argv[3:]]).run()
