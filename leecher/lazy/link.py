"""What the server of reads and the one who fetches say to each other: lines of text over a socket pair.

    to the server     trace               what is read of each image is to be told to the byte
                      images JSON         what to serve: path, size, length and hashes of the pieces of each
                      came                a piece that was waited for is there
                      used                a root stands on the devices from now on
                      whole JSON          all of that is there and right: exchange the files
    to the fetcher    touch IMAGE FIRST_BYTE BYTES   it was read for the first time, as far as that is to be told
                      read IMAGE PIECE    it was read for the first time, and was there
                      wait IMAGE PIECE    a read waits for it; said again from time to time
                      loops PATH...       the devices, one an image, in order
                      done MILLISECONDS   the files have been exchanged
                      fault WORDS         that could not be done

Both are of one build: what is not understood is an error.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Sequence

from leecher.lazy.image import ImageFacts

VARIABLE = "SWARMBOOT_LAZY_SOCKET"
"""Names the descriptor of the fetcher's end in its environment."""
_LINE_MAX_BYTES = 64 << 20


class Link:
    """One end. Any thread may send; one receives. What the other end no longer hears is lost."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def send(self, *words: object) -> None:
        """Send a line."""
        line = " ".join(map(str, words)).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._end.sendall(line)

    def hint(self, *words: object) -> bool:
        """Send a short line if there is room for it at once, and return whether there was: a read must not wait for who
        fetches to hear of it.
        """
        try:
            self._end.send(" ".join(map(str, words)).encode() + b"\n", socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what comes as a line's first word and the rest, until the other end is gone."""
        with contextlib.suppress(OSError), self._end.makefile("rb") as file:
            while line := file.readline(_LINE_MAX_BYTES):
                word, _, rest = line.decode().rstrip("\n").partition(" ")
                yield word, rest

    def close(self) -> None:
        """Close this end; whoever receives here or there comes to an end."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()


def images_text(images: Sequence[ImageFacts]) -> str:
    """Return images as the rest of a line."""
    return json.dumps(
        [
            {"path": i.path, "size": i.size_bytes, "piece": i.piece_bytes, "layer": b"".join(i.layer).hex()}
            for i in images
        ],
        separators=(",", ":"),
    )


def read_images(text: str) -> list[ImageFacts]:
    """Return the images that `images_text` wrote."""
    images = []
    for value in json.loads(text):
        layer = bytes.fromhex(value["layer"])
        hashes = tuple(layer[start : start + 32] for start in range(0, len(layer), 32))
        images.append(ImageFacts(value["path"], value["size"], value["piece"], hashes))
    return images
