"""Who may speak to the seeder, decided from a header and a body."""

from __future__ import annotations

import os
from typing import Any

from seeder.serve.guard import Guard
from swarmboot.crypto.fleet_token import PROOF_HEADER, FleetToken, NodeProver
from swarmboot.ids import NodeId

TOKEN = FleetToken(os.urandom(32))
NODE = NodeId(b"n" * 16)


def scope_with(header: str = "") -> dict[str, Any]:
    headers = [(PROOF_HEADER.encode(), header.encode())] if header else []
    return {"headers": headers, "client": ("10.0.0.7", 1)}


def header_for(path: str, body: bytes, *, token: FleetToken = TOKEN) -> str:
    return NodeProver(NODE, token.key_of(NODE)).header(path, body, certificate=b"c")


def test_without_a_token_everybody_is_a_node_and_nobody_is_the_fleet() -> None:
    guard = Guard()
    assert guard.is_open
    assert guard.is_node(None, "/announce", b"")
    assert guard.is_named(None, NODE)
    assert not guard.is_fleet(None, "/secrets", b"")


def test_with_a_token_only_its_proof_opens() -> None:
    guard = Guard((TOKEN,), b"c")
    proof = guard.proof(scope_with(header_for("/announce", b"x")))
    assert guard.is_node(proof, "/announce", b"x")
    assert not guard.is_node(proof, "/announce", b"y")
    assert not guard.is_node(None, "/announce", b"x")
    assert not guard.is_fleet(proof, "/announce", b"x")
    other = guard.proof(scope_with(header_for("/announce", b"x", token=FleetToken(os.urandom(32)))))
    assert not guard.is_node(other, "/announce", b"x")
    assert guard.proof(scope_with("nonsense")) is None


def test_a_proof_speaks_for_the_node_that_it_names_only() -> None:
    guard = Guard((TOKEN,), b"c")
    proof = guard.proof(scope_with(header_for("/report", b"x")))
    assert guard.is_named(proof, NODE)
    assert guard.is_named(proof, NODE.hex())
    assert not guard.is_named(proof, b"m" * 16)
    assert not guard.is_named(proof, "m" * 32)


def test_refusals_are_counted_and_told_once_in_a_while() -> None:
    said: list[str] = []
    now_s = 100.0
    guard = Guard((TOKEN,), b"c", tell=said.append, clock=lambda: now_s)
    for _ in range(1000):
        assert guard.refusal(scope_with()).status_code == 403
    assert said == ["refused 10.0.0.7, which does not prove the fleet token"]
    now_s = 111.0
    guard.refusal(scope_with())
    assert said[1:] == ["refused 10.0.0.7, which does not prove the fleet token, 1000 since the last such line"]
    assert guard.refused == 1001


def test_a_proof_over_a_connection_from_before_a_renewal_counts_on() -> None:
    guard = Guard((TOKEN,), b"c")
    guard.also_show(b"d")
    old = guard.proof(scope_with(header_for("/announce", b"x")))
    new_header = NodeProver(NODE, TOKEN.key_of(NODE)).header("/announce", b"x", certificate=b"d")
    assert guard.is_node(old, "/announce", b"x")
    assert guard.is_node(guard.proof(scope_with(new_header)), "/announce", b"x")
    guard.also_show(b"e")
    assert not guard.is_node(old, "/announce", b"x"), "two renewals ago"
