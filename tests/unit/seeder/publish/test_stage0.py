"""What publication says of stage 0, and finds in kernels and unified kernel images."""

from __future__ import annotations

import struct

import pytest

from seeder.boot_script.grammar import CommandLine
from seeder.initramfs.kernel import kernel_version
from seeder.publish.stage0 import cost_lines, linux_section, stage0_cost
from seeder.publish.uki import told_cmdline
from swarmboot.release.manifest import Role, decode, encode
from tests.support.builders import build_manifest
from tests.support.stage0 import MANIFEST, VERSION


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


def test_a_unified_images_command_line_is_never_taken_for_a_files_name() -> None:
    assert told_cmdline(CommandLine.parse("quiet a=b")) == "quiet a=b swarmboot.stage0=unified"
    assert told_cmdline(CommandLine.parse("@/etc/passwd")) == "swarmboot.stage0=unified @/etc/passwd"
