"""The stage-0 queue, what is known of nodes before they boot, what publication says, and what a node compares."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from leecher.initramfs.__main__ import parse_node_file
from leecher.neighbour.rate_limit import TokenBucket
from leecher.neighbour.stage0 import stage0_faults
from seeder.boot_script.grammar import CommandLine, Source
from seeder.boot_script.load import Stage0Trust, stage0_of
from seeder.policy.admission import STALL_S
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.stage0_queue import HOLD_S, WASTED_MAX, Granted, Queued, Stage0Queue, Verdict
from seeder.publish.stage0 import cost_lines, kernel_version, linux_section, stage0_cost
from seeder.publish.uki import told_cmdline
from seeder.stage0.rack_map import Place, node_image, parse_rack_map, read_node_files
from swarmboot.errors import MalformedSettingError, SpaceError, UnknownSettingError
from swarmboot.ids import Digest, NodeId
from swarmboot.release.manifest import UNIFIED, Manifest, Role, decode, encode
from swarmboot.release.stage0 import stage0_images
from swarmboot.wire.announce import Announce, Neighbour, NodeState
from tests.support.builders import build_artifact, build_manifest

VERSION = "6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)"
KERNEL = build_artifact("vmlinuz", role=Role.KERNEL, format="linux", version=VERSION)
INITRAMFS = build_artifact("initramfs.img", role=Role.INITRAMFS, format="cpio")
MANIFEST: Manifest = build_manifest(artifacts=(KERNEL, INITRAMFS, build_artifact()))
A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"


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


def test_a_rack_map_is_read_top_down() -> None:
    text = "# racks\n52:54:00:12:* r12\n10.0.13.0/24 r13 gpu  # the fast ones\n* rest\n"
    racks = parse_rack_map(text, where="racks")
    assert racks.place("52:54:00:12:34:56", "10.0.13.5") == Place("r12")
    assert racks.place("52:54:00:99:34:56", "10.0.13.5") == Place("r13", "gpu")
    assert racks.place("52:54:00:99:34:56", "10.0.14.5") == Place("rest")


@pytest.mark.parametrize("line", ["r12", "52:54:00:12:*", "zz:* r1", "10.0.0.0/33 r1", "52:* r1 gpu more", "52:* r|1"])
def test_a_line_that_is_none_of_a_rack_map_is_named(line: str) -> None:
    with pytest.raises(MalformedSettingError, match="racks:2 is no line of a rack map"):
        parse_rack_map(f"\n{line}\n", where="racks")


def test_a_nodes_own_files_stand_over_the_default_ones(tmp_path: Path) -> None:
    for folder, text in (("default", "all"), ("52-54-00-00-00-0a", "mine")):
        (tmp_path / folder / "etc").mkdir(parents=True)
        (tmp_path / folder / "etc" / "rack").write_text(text)
    (tmp_path / "default" / "etc" / "link").symlink_to("/etc/shadow")
    assert read_node_files(tmp_path, A) == {"etc/rack": (0o644, b"mine")}
    assert read_node_files(tmp_path, B) == {"etc/rack": (0o644, b"all")}


def test_too_many_bytes_for_one_node_are_refused(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "large").write_bytes(bytes(5 << 20))
    with pytest.raises(SpaceError, match="too large"):
        read_node_files(tmp_path, A)


def test_the_node_image_is_an_aligned_cpio_archive_with_folders_before_files() -> None:
    image = node_image({"etc/swarmboot/node": (0o600, b"rack=r1\n")})
    assert len(image) % 512 == 0
    names = [b"etc\0", b"etc/swarmboot\0", b"etc/swarmboot/node\0", b"TRAILER!!!\0"]
    assert [image.index(name) for name in names] == sorted(image.index(name) for name in names)
    assert image.count(b"070701") == 4


def test_stage_0_alone_costs_every_node_its_turn_and_with_neighbours_much_less() -> None:
    cost = stage0_cost(30_000_000, 130_000_000, nodes=500, uplink_bytes_per_s=125e6)
    assert cost.alone_s == pytest.approx(127.5, abs=0.5)
    assert cost.shared_s < cost.alone_s / 5
    assert cost.is_slower_than_images


def test_one_node_costs_the_same_either_way_and_is_no_reason_to_warn() -> None:
    cost = stage0_cost(30_000_000, 130_000_000, nodes=1, uplink_bytes_per_s=125e6)
    assert cost.shared_s == cost.alone_s
    lines = cost_lines(MANIFEST, nodes=1, image_bytes=1 << 40, uplink_bytes_per_s=125e6)
    assert not [line for line in lines if line.startswith("warning")]


def test_a_kernel_says_its_version_in_its_header_and_other_files_say_nothing() -> None:
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x400).to_bytes(2, "little")
    head[0x600 : 0x600 + len(VERSION)] = VERSION.encode()
    assert kernel_version(bytes(head)) == VERSION
    assert kernel_version(bytes(4096)) == ""
    assert kernel_version(b"short") == ""


def test_the_version_survives_the_manifest_and_its_absence_changes_no_byte() -> None:
    assert decode(encode(MANIFEST)).with_role(Role.KERNEL)[0].version == VERSION
    assert b"version" not in encode(build_manifest())


BUILD = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)"


def uname(release: str = "6.1.0-56-cloud-amd64", build: str = BUILD) -> os.uname_result:
    return cast(os.uname_result, SimpleNamespace(release=release, version=build))


def test_a_node_started_with_the_manifests_stage_0_has_nothing_to_say() -> None:
    prefixes = ",".join(each.sha256.hex()[:16] for each in (KERNEL, INITRAMFS))
    assert stage0_faults(MANIFEST, prefixes=prefixes, kernel=uname()) == ()
    assert stage0_faults(MANIFEST, prefixes="", kernel=uname()) == ()


def test_another_initramfs_and_another_kernel_are_told_apart() -> None:
    prefixes = f"{KERNEL.sha256.hex()[:16]},{'0' * 16}"
    (fault,) = stage0_faults(MANIFEST, prefixes=prefixes, kernel=uname())
    assert fault.startswith("its initramfs is not the manifest's")
    (fault,) = stage0_faults(MANIFEST, prefixes="", kernel=uname(release="6.1.0-13-cloud-amd64"))
    assert fault.startswith("its running kernel is not the manifest's")
    (fault,) = stage0_faults(MANIFEST, prefixes="", kernel=uname(build="#1 SMP Debian 6.1.55-1 (2023-09-29)"))
    assert fault.startswith("its running kernel is not the manifest's")


def test_a_pace_is_kept_over_all_who_share_it() -> None:
    pace = TokenBucket(100.0)
    assert pace.wait_s(10, now_s=5.0) == 0.0
    waits = [pace.wait_s(100, now_s=5.0) for _ in range(3)]
    assert waits == pytest.approx([0.0, 1.0, 2.0], abs=0.11)
    assert TokenBucket(0.0).wait_s(10**9, now_s=0.0) == 0.0


def test_a_nodes_own_file_may_set_anything_but_what_is_trusted() -> None:
    assert parse_node_file("rack=r12\nprofile=gpu\n", where="node") == {"rack": "r12", "profile": "gpu"}
    with pytest.raises(UnknownSettingError, match="node sets floor, trust, which only the initramfs itself may"):
        parse_node_file("trust=/tmp/other.pub\nfloor=0\n", where="node")


@pytest.mark.parametrize("name", ["trust", "ca", "floor", "fleet"])
def test_files_beside_the_initramfs_change_nothing_that_is_trusted(name: str) -> None:
    with pytest.raises(UnknownSettingError, match=f"sets {name}, which only the initramfs itself may"):
        parse_node_file(f"{name}=x\n", where="node")


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


def test_a_node_serves_a_unified_kernel_image_alone() -> None:
    image = build_artifact("boot.efi", role=Role.KERNEL, format=UNIFIED)
    assert stage0_images(build_manifest(artifacts=(image, build_artifact()))) == (image,)
    assert stage0_images(MANIFEST) == (KERNEL, INITRAMFS)
    assert stage0_images(build_manifest(artifacts=(KERNEL, build_artifact()))) == ()


def build_pe(*sections: tuple[bytes, int]) -> bytes:
    head = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80) + bytes(0x40)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 16, 0) + bytes(16)
    return head + coff + b"".join(name.ljust(8, b"\0") + struct.pack("<IIII", 0, 0, 0, at) + bytes(16)
                                  for name, at in sections)  # fmt: skip


def test_the_kernel_in_a_unified_kernel_image_is_found_by_its_section() -> None:
    assert linux_section(build_pe((b".osrel", 512), (b".linux", 4096))) == 4096
    assert linux_section(build_pe((b".text", 512))) == 0
    for cut in (b"", b"MZ", b"MZ" + bytes(100), build_pe((b".linux", 4096))[:-41]):
        assert linux_section(cut) == 0


def test_a_unified_kernel_image_that_holds_its_command_line_is_told_by_its_kernel_only() -> None:
    image = build_artifact("boot.efi", role=Role.KERNEL, format=UNIFIED, version=VERSION)
    manifest = build_manifest(artifacts=(image, build_artifact()))
    assert stage0_faults(manifest, prefixes="unified", kernel=uname()) == ()
    assert len(stage0_faults(manifest, prefixes="unified", kernel=uname(release="6.1.0-1-amd64"))) == 1


def test_a_unified_images_command_line_is_never_taken_for_a_files_name() -> None:
    assert told_cmdline(CommandLine.parse("quiet a=b")) == "quiet a=b swarmboot.stage0=unified"
    assert told_cmdline(CommandLine.parse("@/etc/passwd")) == "swarmboot.stage0=unified @/etc/passwd"


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
