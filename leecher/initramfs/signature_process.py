"""Signatures checked in a process of their own, which takes what that needs of memory with it when it ends.

It is a copy of this program (fork(2)) from before there are threads, and is asked over a pair of sockets. Where it does
not answer, its owner finds out by itself, and so once it has ended: no signature is taken for good unheard.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from contextlib import suppress
from typing import NoReturn

from swarmboot.release.signature import is_good_here

_QUESTION = struct.Struct(">32s64sI")
"""A raw public key, a signature, and how many bytes that are signed follow."""
_GOOD, _BAD = b"+", b"-"
_ANSWER_S = 30.0
_DESCRIPTORS = 1024


class SignatureProcess:
    """Says whether signatures are good, until closed; any thread may ask. Make it before there is another thread."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        ours, theirs = socket.socketpair()
        self._child = os.fork()
        if not self._child:
            _answer_and_exit(theirs)
        theirs.close()
        ours.settimeout(_ANSWER_S)
        self._socket: socket.socket | None = ours

    def is_good(self, public: bytes, signature: bytes, signed: bytes) -> bool:
        """Return whether `signature` is the key's over `signed`: what the process says, or else what is found here."""
        with self._asking:
            answer = self._ask(public, signature, signed)
        return is_good_here(public, signature, signed) if answer not in (_GOOD, _BAD) else answer == _GOOD

    def _ask(self, public: bytes, signature: bytes, signed: bytes) -> bytes:
        """Return the answer; nothing if there is none, after which nobody is asked any more."""
        if self._socket is None or (len(public), len(signature)) != (32, 64):
            return b""
        answer = b""
        with suppress(OSError):
            self._socket.sendall(_QUESTION.pack(public, signature, len(signed)) + signed)
            answer = self._socket.recv(1)
        if not answer:
            self._close()
        return answer

    def close(self) -> None:
        """End the process, if it has not ended."""
        with self._asking:
            self._close()

    def _close(self) -> None:
        if self._socket is None:
            return
        self._socket.close()
        self._socket = None
        with suppress(OSError):
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)


def _answer_and_exit(asked: socket.socket) -> NoReturn:
    """Answer what is asked until nobody can ask any more, and end this process, without its owner's cleaning up."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.closerange(3, asked.fileno())
        os.closerange(asked.fileno() + 1, _DESCRIPTORS)
        with asked.makefile("rb") as questions:
            while len(head := questions.read(_QUESTION.size)) == _QUESTION.size:
                public, signature, size_bytes = _QUESTION.unpack(head)
                signed = questions.read(size_bytes)
                asked.sendall(_GOOD if len(signed) == size_bytes and is_good_here(public, signature, signed) else _BAD)
    finally:
        os._exit(0)
