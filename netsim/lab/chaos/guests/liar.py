"""A neighbour that lies: an ordinary libtorrent seed behind a proxy that flips a byte in some of the blocks it sends.

    python -m netsim.lab.chaos.guests.liar SERVER CA SITE ADDRESS FRACTION SEED FOLDER

The seed listens on loopback and holds the real images, links to which it puts in FOLDER. The proxy listens at ADDRESS,
is announced to the seeder as a complete node, and alters that fraction of the `piece` messages that pass (BEP 3):
hashes, haves and everything else stay true, so nothing gives it away but the blocks themselves.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import libtorrent as lt

from netsim.lab.chaos.guests.announcing import RETRY_S, Announcer, Torrents
from swarmboot.ids import NodeId
from swarmboot.wire.announce import Announce, NodeState

PORT = 6999
_SEED_PORT = 6998
_HANDSHAKE_BYTES = 68
_PIECE = 7
_PIECE_HEAD_BYTES = 9
_CHUNK_BYTES = 1 << 16


def start_seed(torrents: Torrents, site: Path, folder: Path) -> lt.session:
    """Return a session on loopback that has everything and dials nobody."""
    session = lt.session(
        {
            "listen_interfaces": f"127.0.0.1:{_SEED_PORT}",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "in_enc_policy": 2,
            "out_enc_policy": 2,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True,
            "unchoke_slots_limit": -1,
        }
    )
    for found in torrents.by_hash.values():
        name = found.name()  # the publisher calls a torrent by its bytes' SHA-256
        (folder / name).symlink_to(site / "blobs" / name)
        params = lt.add_torrent_params()
        params.ti, params.save_path = found, str(folder)
        params.flags = lt.torrent_flags.seed_mode
        session.add_torrent(params)
    return session


def alter(message: bytes, random: Random, fraction: float) -> bytes:
    """Return a message of the peer protocol, without its length: a `piece` with one byte flipped, by that chance."""
    if len(message) <= _PIECE_HEAD_BYTES or message[0] != _PIECE or random.random() >= fraction:
        return message
    index = random.randrange(_PIECE_HEAD_BYTES, len(message))
    return message[:index] + bytes([message[index] ^ 0xFF]) + message[index + 1 :]


class _Lie:
    """One peer's connection, and the true one behind it."""

    def __init__(self, peer: socket.socket, random: Random, fraction: float) -> None:
        self._peer = peer
        self._seed = socket.create_connection(("127.0.0.1", _SEED_PORT))
        self._random, self._fraction = random, fraction

    def run(self) -> None:
        """Pass on both ways until one side hangs up."""
        threading.Thread(target=self._pass_on, daemon=True).start()
        with suppress(OSError, EOFError):
            self._peer.sendall(self._read(_HANDSHAKE_BYTES))
            while True:
                head = self._read(4)
                message = self._read(struct.unpack("!I", head)[0])
                told = alter(message, self._random, self._fraction)
                if told != message:
                    print(f"altered a block for {self._peer.getpeername()[0]}", flush=True)
                self._peer.sendall(head + told)
        self._end()

    def _pass_on(self) -> None:
        with suppress(OSError):
            while chunk := self._peer.recv(_CHUNK_BYTES):
                self._seed.sendall(chunk)
        self._end()

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            chunk = self._seed.recv(count - len(parts))
            if not chunk:
                raise EOFError
            parts += chunk
        return bytes(parts)

    def _end(self) -> None:
        for each in (self._peer, self._seed):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def announce_for_ever(server: str, ca: Path, torrents: Torrents) -> None:
    """Tell the seeder again and again that a complete node is here."""
    announcer = Announcer(server, ca)
    announce = Announce(
        node=NodeId(os.urandom(16)),
        sequence=torrents.sequence,
        state=NodeState.COMPLETE,
        port=PORT,
        have=torrents.everything(),
    )
    while True:
        handout = announcer.announce(announce)
        time.sleep(max(RETRY_S, handout.announce_after_s) if handout else RETRY_S)


def main() -> None:
    """Read the command line and lie until killed."""
    server, ca, site, address, fraction, seed, folder = sys.argv[1:]
    torrents = Torrents(Path(site))
    session = start_seed(torrents, Path(site), Path(folder))
    with socket.create_server((address, PORT)) as listener:
        threading.Thread(target=announce_for_ever, args=(server, Path(ca), torrents), daemon=True).start()
        number = 0
        while session.is_listening():
            peer, _ = listener.accept()
            number += 1
            print(f"peer {number}: {peer.getpeername()[0]}", flush=True)
            lie = _Lie(peer, Random(f"{seed} {number}"), float(fraction))
            threading.Thread(target=lie.run, daemon=True).start()


if __name__ == "__main__":
    main()
