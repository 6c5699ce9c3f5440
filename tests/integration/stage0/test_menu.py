"""Boot menus on loopback: who is shown one by a real seeder, and what is chosen in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.stage0.test_strangers import get, images_in, stage0_address
from tests.support.commands import run
from tests.support.loopback import Fleet, Seeder, build_fleet, build_release, serving

SHOWN, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
HOST = "127.0.0.2"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    work = tmp_path_factory.mktemp("published")
    fleet = build_fleet(work / "fleet", build_release(work / "stable", size_bytes=300_000, stage0_bytes=20_000))
    fleet.publish(build_release(work / "edge", size_bytes=300_000, seed=2, stage0_bytes=30_000), "--channel", "edge")
    return fleet


def script(seeder: Seeder, mac: str, item: str = "", *, name: str = "boot.ipxe") -> str:
    return get(stage0_address(seeder), f"/{name}?mac={mac}&item={item}", source=HOST).decode()


def test_a_menu_is_shown_to_whom_it_is_for_until_something_in_it_is_chosen(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "menus").write_text(f"{SHOWN} 10 release channel:edge local\n")
    arguments = ("--pxe-listen", "127.0.0.1:0", "--boot-menu", str(tmp_path / "menus"))
    with serving(fleet, *arguments) as seeder:
        seeder.wait_for_line("channel edge")
        shown = script(seeder, SHOWN)
        assert re.search(r"^item --key 2 item2 2\. \S+, manifest 2 \(channel edge\)$", shown, re.MULTILINE)
        assert not images_in(shown)
        assert "menuentry '3. the disk of this machine'" in script(seeder, SHOWN, name="grub.cfg")
        for word in ("nothing", "channel-stable", "memtest", "channel-edge%20||%20shell"):
            assert script(seeder, SHOWN, word) == shown
        chosen = script(seeder, SHOWN, "channel-edge")
        assert "swarmboot.channel=edge" in chosen
        assert [len(get(stage0_address(seeder), path, source=HOST)) for path in images_in(chosen)] == [30_000, 30_000]
        seeder.wait_for_line(f"machine {SHOWN} has stage 0")
        for plain in (script(seeder, SHOWN, "release"), script(seeder, OTHER), script(seeder, OTHER, "channel-edge")):
            assert "swarmboot.channel" not in plain
            assert "from the server" in plain


def test_a_memory_test_is_in_menus_only_where_it_is_and_served_only_if_it_is_in_one(
    fleet: Fleet, tmp_path: Path
) -> None:
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe/memtest.efi").write_bytes(b"MZ memory test")
    (tmp_path / "menus").write_text("* 10 release memtest\n")
    arguments = ("--pxe-listen", "127.0.0.1:0", "--ipxe", str(tmp_path / "ipxe"))
    with serving(fleet, *arguments, "--boot-menu", str(tmp_path / "menus")) as seeder:
        assert "memory" in script(seeder, SHOWN)
        assert get(stage0_address(seeder), "/boot/memtest.efi", source=HOST) == b"MZ memory test"
    with serving(fleet, *arguments[:2]) as seeder:
        assert get(stage0_address(seeder), "/boot/memtest.efi", source=HOST) == b"no such file\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [("* 10 relaese\n", "menus:1: a boot menu has no item 'relaese'"), (None, "menus cannot be read")],
)
def test_a_menu_that_is_none_is_one_clear_line(fleet: Fleet, tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "menus").write_text(text)
    done = run("serve", fleet.site, "--pxe-listen", "127.0.0.1:0", "--boot-menu", tmp_path / "menus",
               "--state", tmp_path / "state", "--listen", "127.0.0.1:0")  # fmt: skip
    assert said in done.err
    assert done.err.count("\n") == 1
    assert 40 <= done.status < 70
