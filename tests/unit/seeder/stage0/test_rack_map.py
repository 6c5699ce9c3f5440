"""What is known of nodes before they boot: the rack map, and files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.stage0.machine_pattern import MachinePattern
from seeder.stage0.rack_map import Place, node_image, parse_rack_map, read_node_files
from swarmboot.errors import MalformedSettingError, SpaceError
from tests.support.stage0 import A, B

C = "52:54:00:00:00:0c"


def test_a_rack_map_is_read_top_down() -> None:
    text = "# racks\n52:54:00:12:* r12\n10.0.13.0/24 r13 gpu  # the fast ones\n* rest\n"
    racks = parse_rack_map(text, where="racks")
    assert racks.place("52:54:00:12:34:56", "10.0.13.5") == Place("r12")
    assert racks.place("52:54:00:99:34:56", "10.0.13.5") == Place("r13", "gpu")
    assert racks.place("52:54:00:99:34:56", "10.0.14.5") == Place("rest")


def test_single_machines_are_read_top_down_among_the_others() -> None:
    text = f"{A} first\n{B.upper()} own\n10.0.13.0/24 r13\n{A} second\n{C} late\n* rest\n"
    racks = parse_rack_map(text, where="racks")
    assert [racks.place(mac, "10.0.13.5").rack for mac in (A, B, C)] == ["first", "own", "r13"]
    assert [racks.place(mac, "10.0.14.5").rack for mac in (A, B, C)] == ["first", "own", "late"]
    assert parse_rack_map(f"{A} r1\n", where="racks").place(B, "10.0.13.5") == Place()


def test_a_line_for_each_of_ten_thousand_machines_costs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    macs = [f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(10_000)]
    racks = parse_rack_map("".join(f"{mac} r{mac[-2:]}\n" for mac in macs) + "* rest\n", where="racks")
    asked: list[str] = []

    def fits(pattern: MachinePattern, _mac: str, _host: str) -> bool:
        asked.append(pattern.mac)
        return True

    monkeypatch.setattr(MachinePattern, "fits", fits)
    assert (racks.place(macs[-1], "10.0.0.1").rack, racks.place("02:00:00:00:00:01", "").rack) == ("r0f", "rest")
    assert asked == ["*"]


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
