"""Signatures that another process checks: what it says counts, and nothing is good because it is silent."""

from __future__ import annotations

import os
import subprocess
import sys

STEPS = """
import os, signal, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from leecher.initramfs.signature_process import SignatureProcess
from swarmboot.release import signature
key = Ed25519PrivateKey.generate()
public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
text = bytes(100_000)
good = key.sign(text)
bad = bytes([good[0] ^ 1]) + good[1:]
process = SignatureProcess()
here = []
real = signature.is_good_here
import leecher.initramfs.signature_process as module
module.is_good_here = lambda *question: here.append(question) or real(*question)
def both():
    return process.is_good(public, good, text), process.is_good(public, bad, text), process.is_good(public, good, b"")
"""
"""In a program of its own, because it forks."""


def run(step: str) -> str:
    done = subprocess.run((sys.executable, "-c", STEPS + step), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_process_tells_good_signatures_from_bad_ones() -> None:
    assert run("print(both(), len(here))") == "(True, False, False) 0"


def test_one_that_has_died_is_done_without() -> None:
    step = "os.kill(process._child, signal.SIGKILL); os.waitpid(process._child, 0); print(both(), len(here))"
    assert run(step) == "(True, False, False) 3"


def test_one_that_answers_something_else_is_not_believed() -> None:
    step = "process._socket.close(); import socket; process._socket, other = socket.socketpair(); "
    assert run(step + "other.sendall(b'yes'); print(both(), len(here))") == "(True, False, False) 3"


def test_once_it_is_closed_nothing_is_left_of_it_and_checks_go_on() -> None:
    step = "process.close(); process.close(); print(both(), len(here), os.path.exists(f'/proc/{process._child}'))"
    assert run(step) == "(True, False, False) 3 False"


def test_it_ends_when_nobody_can_ask_any_more() -> None:
    child = int(run("print(process._child)"))
    assert child != os.getpid()
    _, said = (
        child,
        subprocess.run(("ps", "-o", "stat=", "-p", str(child)), capture_output=True, text=True, check=False),
    )
    assert said.stdout.strip()[:1] in ("", "Z")


def test_the_check_that_is_chosen_is_the_one_that_trust_asks() -> None:
    step = """
from swarmboot.release.trust import Kind, key_set, sign, verify
asked = []
def check(*question):
    asked.append(question)
    return False
envelope, keys = sign(Kind.CHANNEL, b"x", [key]), key_set([public])
assert verify(envelope, Kind.CHANNEL, keys) == b"x"
try:
    with signature.checked_by(check):
        verify(envelope, Kind.CHANNEL, keys)
except Exception as error:
    print(type(error).__name__, len(asked), verify(envelope, Kind.CHANNEL, keys))
"""
    assert run(step) == "SignatureError 1 b'x'"
