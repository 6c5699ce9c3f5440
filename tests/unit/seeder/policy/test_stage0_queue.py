"""The stage-0 queue: whose turn it is, and who is sent to which neighbours."""

from __future__ import annotations

from dataclasses import replace

from seeder.boot_script.grammar import Source
from seeder.boot_script.load import Stage0Trust, stage0_of
from seeder.policy.admission import STALL_S
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.stage0_queue import HOLD_S, WASTED_MAX, Granted, Queued, Stage0Queue, Verdict
from swarmboot.ids import Digest, NodeId
from swarmboot.release.manifest import UNIFIED, Role
from swarmboot.wire.announce import Announce, Neighbour, NodeState
from tests.support.builders import build_artifact, build_manifest
from tests.support.stage0 import INITRAMFS, KERNEL, MANIFEST, A, B


def build_queue(
    registry: Registry | None = None, *, trust: Stage0Trust = Stage0Trust.LAN, slots: int = 1
) -> Stage0Queue:
    queue = Stage0Queue(registry or Registry(), trust=trust, uplink_bytes_per_s=1e6, slots=slots)
    queue.serve(stage0_of(MANIFEST))
    return queue


def announce(registry: Registry, host: str, *, rack: str = "", serves: tuple[Digest, ...]) -> None:
    registry.observe(
        Announce(
            node=NodeId(host.encode().ljust(16)), sequence=MANIFEST.sequence, state=NodeState.COMPLETE, port=6881,
            http_port=8471, rack=rack, serves=serves,
        ),
        host=host,
        now_s=0.0,
    )  # fmt: skip


def loaded(queue: Stage0Queue, mac: str, *, host: str = "", now_s: float) -> list[Verdict]:
    verdicts = queue.sent(mac, KERNEL.sha256, host=host, is_whole=True, now_s=now_s)
    return verdicts + queue.sent(mac, INITRAMFS.sha256, host=host, is_whole=True, now_s=now_s)


def test_the_next_machine_is_answered_the_moment_the_first_has_both_images() -> None:
    queue = build_queue()
    assert queue.ask("first", A, now_s=0.0) == [Verdict("first", Granted(()))]
    assert queue.ask("second", B, now_s=0.1) == []
    assert queue.sent(A, KERNEL.sha256, is_whole=True, now_s=1.0) == []
    assert queue.sent(A, INITRAMFS.sha256, is_whole=True, now_s=2.0) == [Verdict("second", Granted(()))]


def test_a_machine_that_has_been_held_for_long_enough_is_sent_away_and_keeps_its_place() -> None:
    queue = build_queue()
    queue.ask("first", A, now_s=0.0)
    queue.ask("second", B, now_s=0.0)
    queue.sent(A, KERNEL.sha256, is_whole=False, now_s=HOLD_S)
    assert queue.tick(now_s=HOLD_S) == [Verdict("second", Queued(1, 1))]
    assert loaded(queue, A, now_s=HOLD_S + 0.5) == []
    assert queue.ask("again", B, now_s=HOLD_S + 1.0) == [Verdict("again", Granted(()))]


def test_a_machine_that_hangs_up_holds_nobody_up() -> None:
    queue = build_queue()
    queue.ask("first", A, now_s=0.0)
    queue.ask("second", B, now_s=0.0)
    queue.ask("third", "52:54:00:00:00:0c", now_s=0.0)
    queue.hung_up("second", now_s=0.5)
    assert loaded(queue, A, now_s=1.0) == [Verdict("third", Granted(()))]


def test_a_machine_is_sent_to_neighbours_that_serve_both_images_own_rack_first() -> None:
    registry = Registry()
    announce(registry, "10.0.0.7", rack="r2", serves=(KERNEL.sha256, INITRAMFS.sha256))
    announce(registry, "10.0.0.8", rack="r1", serves=(KERNEL.sha256, INITRAMFS.sha256))
    announce(registry, "10.0.0.9", rack="r1", serves=(KERNEL.sha256,))
    queue = build_queue(registry)
    expected = Granted((Source("10.0.0.8", 8471), Source("10.0.0.7", 8471)))
    assert queue.ask("first", A, rack="r1", now_s=0.0) == [Verdict("first", expected)]


def test_origin_only_names_no_neighbour() -> None:
    registry = Registry()
    announce(registry, "10.0.0.7", serves=(KERNEL.sha256, INITRAMFS.sha256))
    queue = build_queue(registry, trust=Stage0Trust.ORIGIN_ONLY)
    assert queue.ask("first", A, now_s=0.0) == [Verdict("first", Granted(()))]
    assert queue.neighbours == 0


def test_a_neighbour_with_an_older_stage_0_is_named_no_more() -> None:
    registry = Registry()
    announce(registry, "10.0.0.7", serves=(KERNEL.sha256, INITRAMFS.sha256))
    queue = build_queue(registry)
    queue.ask("first", A, now_s=0.0)
    newer = replace(MANIFEST, artifacts=(replace(KERNEL, sha256=Digest(bytes(32))), INITRAMFS, build_artifact()))
    queue.serve(stage0_of(newer))
    assert queue.ask("second", B, now_s=1.0) == [Verdict("second", Granted(()))]


def fetching(registry: Registry, host: str, *, serves: tuple[Digest, ...] = ()) -> Node:
    name = NodeId(host.encode().ljust(16))
    said = Announce(name, MANIFEST.sequence, NodeState.FETCHING, port=6881, http_port=8471, serves=serves)
    return registry.observe(said, host=host, now_s=0.0)


def test_who_lets_leases_lapse_is_not_asked() -> None:
    registry = Registry()
    queue = build_queue(registry)
    node = fetching(registry, "10.0.0.7")
    for number in range(8):
        queue.ask(number, f"52:54:00:00:00:0{number}", host=f"10.0.1.{number}", now_s=0.0)
    registry.standing.give_credit(node, -1)
    assert queue.invite(node, 0.0) is None
    registry.standing.give_credit(node, 1)
    assert queue.invite(node, 0.0) == ()


def test_a_machine_takes_the_slot_of_one_that_its_neighbour_says_it_has_sent_all() -> None:
    registry = Registry()
    queue = build_queue(registry)
    whole = (KERNEL.sha256, INITRAMFS.sha256)

    def say(loads_sent: int) -> None:
        name = NodeId(b"10.0.0.7".ljust(16))
        said = Announce(
            name, MANIFEST.sequence, NodeState.COMPLETE, 6881, http_port=8471, serves=whole, loads_sent=loads_sent
        )
        registry.observe(said, host="10.0.0.7", now_s=0.0)

    say(0)
    machines = [f"52:54:00:00:00:0{number}" for number in range(4)]
    given = [verdict for mac in machines for verdict in queue.ask(mac, mac, host=mac, now_s=0.0)]
    sources = [verdict.answer.neighbours for verdict in given if isinstance(verdict.answer, Granted)]
    assert [bool(each) for each in sources] == [True, True, False]  # the third, from the server
    say(1)
    (verdict,) = queue.tick(now_s=3.0)
    assert verdict == Verdict(machines[3], Granted((Source("10.0.0.7", 8471),)))


def test_a_node_that_fetches_is_asked_while_machines_wait_and_the_next_takes_stage_0_from_it() -> None:
    registry = Registry()
    queue = build_queue(registry)
    first, second = fetching(registry, "10.0.0.7"), fetching(registry, "10.0.0.8")
    assert queue.invite(first, 0.0) is None
    for number in range(8):
        queue.ask(number, f"52:54:00:00:01:{number:02x}", now_s=0.0)
    assert queue.invite(first, 0.0) == ()
    assert queue.invite(second, 0.0) is None
    fetching(registry, "10.0.0.7", serves=(KERNEL.sha256, INITRAMFS.sha256))
    queue.tick(now_s=1.0)
    assert queue.invite(first, 1.0) is None
    assert queue.invite(second, 1.0) == (Neighbour("10.0.0.7", 6881, 8471),)


def test_a_node_that_fetches_another_release_is_not_asked_and_holds_up_nobody_who_is() -> None:
    registry = Registry()
    queue = build_queue(registry)
    for number in range(8):
        queue.ask(number, f"52:54:00:00:01:{number:02x}", now_s=0.0)
    node = fetching(registry, "10.0.0.7")
    assert queue.invite(replace(node, sequence=MANIFEST.sequence + 1), 0.0) is None
    assert queue.invite(node, 0.0) == ()


def test_on_the_uplink_stage_0_weighs_more_in_its_turn_and_for_a_node_that_is_about_to_serve() -> None:
    registry = Registry()
    queue = build_queue(registry)
    node = fetching(registry, "10.0.0.7")
    for number in range(8):
        queue.ask(number, f"52:54:00:00:01:{number:02x}", host="10.0.0.1", now_s=0.0)
    assert queue.more_for_machine("52:54:00:00:01:00", host="10.0.0.1") > 1
    assert queue.more_for_machine("52:54:00:00:01:01", host="10.0.0.1") == 0
    assert queue.more_for_machine("52:54:00:00:01:00", host="10.0.0.2") == 0
    assert queue.more_for_node("10.0.0.7", KERNEL.sha256.hex()) == 0
    queue.invite(node, 0.0)
    assert queue.more_for_node("10.0.0.7", KERNEL.sha256.hex()) > queue.more_for_machine(
        "52:54:00:00:01:00", host="10.0.0.1"
    )
    assert queue.more_for_node("10.0.0.7", "00" * 32) == queue.more_for_node("10.0.0.8", KERNEL.sha256.hex()) == 0


def test_where_firmware_checks_the_kernel_alone_nobody_is_asked_before_it_has_its_images() -> None:
    registry = Registry()
    queue = build_queue(registry, trust=Stage0Trust.SECUREBOOT)
    for number in range(8):
        queue.ask(number, f"52:54:00:00:01:{number:02x}", now_s=0.0)
    assert queue.invite(fetching(registry, "10.0.0.7"), 0.0) is None


def build_split_queue(registry: Registry) -> Stage0Queue:
    announce(registry, "10.0.0.7", rack="r1", serves=(KERNEL.sha256, INITRAMFS.sha256))
    announce(registry, "10.0.0.8", rack="r2", serves=(KERNEL.sha256, INITRAMFS.sha256))
    return build_queue(registry, trust=Stage0Trust.SECUREBOOT)


def test_of_a_signed_kernel_alone_neighbours_serve_no_more_than_the_kernel() -> None:
    queue = build_split_queue(Registry())
    (verdict,) = queue.ask("first", A, rack="r2", now_s=0.0)
    assert verdict.answer == Granted((Source("10.0.0.8", 8471), Source("10.0.0.7", 8471)))
    assert queue.ask("second", B, now_s=0.1) == []  # the server's one slot is taken: it sends the initramfs
    (verdict,) = queue.sent(A, INITRAMFS.sha256, is_whole=True, now_s=1.0)
    assert verdict.ticket == "second"


def test_a_unified_kernel_image_comes_from_neighbours_alone() -> None:
    image = build_artifact("boot.efi", role=Role.KERNEL, format=UNIFIED)
    registry = Registry()
    announce(registry, "10.0.0.7", serves=(image.sha256,))
    queue = build_queue(registry, trust=Stage0Trust.SECUREBOOT)
    queue.serve(stage0_of(build_manifest(artifacts=(image, build_artifact()))))
    answers = [verdict.answer for mac in (A, B) for verdict in queue.ask(mac, mac, now_s=0.0)]
    assert answers == [Granted((Source("10.0.0.7", 8471),))] * 2


FORGER, HONEST = "10.0.0.66", "10.0.0.7"


def made_up(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def test_nobody_takes_another_machines_turn() -> None:
    queue = build_queue()
    queue.ask("first", A, host=HONEST, now_s=0.0)
    queue.ask("second", B, host="10.0.0.8", now_s=0.0)
    assert queue.ask("forged", B, host=FORGER, now_s=0.1) == []
    queue.sent(A, KERNEL.sha256, host=HONEST, is_whole=True, now_s=1.0)
    verdicts = queue.sent(A, INITRAMFS.sha256, host=HONEST, is_whole=True, now_s=1.0)
    assert verdicts == [Verdict("second", Granted(()))]


def test_nobody_ends_another_machines_turn() -> None:
    queue = build_queue()
    queue.ask("first", A, host=HONEST, now_s=0.0)
    queue.ask("second", B, host=FORGER, now_s=0.0)
    for digest in (KERNEL.sha256, INITRAMFS.sha256):
        assert queue.sent(A, digest, host=FORGER, is_whole=True, now_s=0.5) == []
    assert queue.is_loading(A, host=HONEST)


def test_an_address_that_lets_turns_pass_goes_last() -> None:
    queue = build_queue()
    now_s = 0.0
    for number in range(int(WASTED_MAX) + 1):
        queue.ask(number, made_up(number), host=FORGER, now_s=now_s)
        now_s += STALL_S + 0.1
        queue.tick(now_s=now_s)
    queue.ask("loading", A, host=HONEST, now_s=now_s)
    for number in range(100):
        queue.ask(number, made_up(number), host=FORGER, now_s=now_s + 0.1)
    queue.ask("honest", B, host=HONEST, now_s=now_s + 0.2)
    assert loaded(queue, A, host=HONEST, now_s=now_s + 0.3) == [Verdict("honest", Granted(()))]


def test_a_rack_behind_one_address_that_loads_is_not_held_back_by_its_few_failures() -> None:
    queue = build_queue()
    now_s = 0.0
    for number in range(200):
        mac = made_up(number)
        queue.ask(number, mac, host=HONEST, now_s=now_s)
        if number % 4:
            loaded(queue, mac, host=HONEST, now_s=now_s)
        now_s += STALL_S + 0.1
        queue.tick(now_s=now_s)
    queue.ask("first", A, host="10.0.0.9", now_s=now_s)
    queue.ask("rack", B, host=HONEST, now_s=now_s)
    queue.ask("later", "52:54:00:00:00:0c", host="10.0.0.8", now_s=now_s)
    assert loaded(queue, A, host="10.0.0.9", now_s=now_s) == [Verdict("rack", Granted(()))]


def test_who_has_no_turn_leaves_nothing_behind_by_loading() -> None:
    queue = build_queue()
    for number in range(1000):
        queue.sent(made_up(number), KERNEL.sha256, host=FORGER, is_whole=True, now_s=0.0)
    assert not queue._turns  # a machine without a turn is told of nowhere
