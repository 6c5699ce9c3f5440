"""Which card BOOTIF= names, and what dracut's adapter makes of a network that does nothing, under each shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.shells import SHELLS
from tests.support.tree import HOOK

MAC = "52:54:00:12:34:56"
OTHER = "52:54:00:ab:cd:ef"


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    command: tuple[str, ...] = request.param
    return command


def call(shell: tuple[str, ...], folder: Path, call: str, *, cards: dict[str, str]) -> tuple[int, str]:
    for name, address in cards.items():
        (folder / "net" / name).mkdir(parents=True)
        (folder / "net" / name / "address").write_text(f"{address}\n")
    script = f"""
        swarmboot_say() {{ echo "$*"; }}
        swarmboot_cards_folder={folder}/net
        . {HOOK}/cards.sh
        {call}
    """
    done = subprocess.run((*shell, "-c", script), capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "mac"),
    [
        ("01-52-54-00-12-34-56", MAC),
        ("01-52-54-00-AB-CD-EF", OTHER),
        ("01-52:54:00:12:34:56", MAC),
        ("52-54-00-12-34-56", MAC),
        ("52:54:00:12:34:56", MAC),
        ("", ""),
    ],
)
def test_bootif_is_a_mac_address_with_the_kind_of_hardware_before_it_or_without(
    shell: tuple[str, ...], tmp_path: Path, value: str, mac: str
) -> None:
    assert call(shell, tmp_path, f"swarmboot_bootif '{value}'", cards={}) == (0, f"{mac}\n")


def test_a_card_is_found_by_its_whole_address(shell: tuple[str, ...], tmp_path: Path) -> None:
    cards = {"lo": "00:00:00:00:00:00", "ens3": MAC, "ens4": OTHER}
    wanted = f"for mac in {MAC} {OTHER} {MAC[:-1]} {MAC[1:]} 00:00:00:00:00:00 '*'; do\n"
    wanted += "swarmboot_has_card $mac && echo yes || echo no\ndone"
    assert call(shell, tmp_path, wanted, cards=cards) == (0, "yes\nyes\nno\nno\nno\nno\n")


@pytest.mark.parametrize(
    ("cards", "found"),
    [
        ({"lo": "00:00:00:00:00:00", "ens3": MAC, "ens4": OTHER}, f"ens3 {MAC}, ens4 {OTHER}"),
        ({"lo": "00:00:00:00:00:00"}, "none"),
    ],
)
def test_a_bootif_that_no_card_has_is_named_beside_the_cards_that_are_there(
    shell: tuple[str, ...], tmp_path: Path, cards: dict[str, str], found: str
) -> None:
    said = f"no card has BOOTIF's 52:54:00:ff:ff:ff; found {found}; taking all cards\n"
    assert call(shell, tmp_path, "swarmboot_say_no_card 52:54:00:ff:ff:ff", cards=cards) == (0, said)


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        (("[Network]", "[DHCPv4]", "ClientIdentifier=mac"), False),
        (("[Network]", "DHCP=ipv4"), True),
        (("[Network]", "[Address]", "Address=10.0.0.7/24"), True),
        (("[Network]", "VLAN=vlan7"), True),
    ],
)
def test_a_network_that_systemd_made_of_bootif_goes_if_it_gives_the_card_nothing_to_do(
    shell: tuple[str, ...], tmp_path: Path, lines: tuple[str, ...], is_kept: bool
) -> None:
    (tmp_path / "cmdline").write_text("swarmboot.server=https://10.0.0.1:8470\n")
    network = tmp_path / "70-BOOTIF.network"
    network.write_text("\n".join(("[Match]", f"MACAddress={MAC}", *lines, "")))
    hook = (HOOK / "dracut/swarmboot-bootif.sh").read_text()
    hook = hook.replace("/usr/lib/swarmboot/", f"{HOOK}/").replace("/run/systemd/network/", f"{tmp_path}/")
    assert call(shell, tmp_path, f"swarmboot_files={HOOK} swarmboot_cmdline={tmp_path}/cmdline\n{hook}", cards={}) == (
        0,
        "",
    )
    assert network.exists() == is_kept
