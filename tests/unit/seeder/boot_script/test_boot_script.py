"""Boot scripts: what they load, from whom, in which order, and that nothing in a release can escape into them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from seeder.boot_script import grub as grubscript
from seeder.boot_script import ipxe
from seeder.boot_script.grammar import COMMAND_LINE_MAX, CommandLine, Mac, Source, Token, parse_mac
from seeder.boot_script.kernel_cmdline import node_cmdline
from seeder.boot_script.load import Load, Stage0, Stage0Trust, stage0_of
from swarmboot.errors import ReleaseError
from swarmboot.release.manifest import UNIFIED, Profile, Role
from swarmboot.text.addresses import split_host_port
from tests.support.builders import build_artifact, build_manifest

MAC = "52:54:00:12:34:56"
ORIGIN = Source("10.0.0.1", 80)
KERNEL = build_artifact("vmlinuz", role=Role.KERNEL, format="linux")
INITRAMFS = build_artifact("initramfs.img", role=Role.INITRAMFS, format="cpio")


def build_stage0(cmdline: str = "console=ttyS0") -> Stage0:
    manifest = build_manifest(artifacts=(KERNEL, INITRAMFS, build_artifact()), cmdline=cmdline)
    stage0 = stage0_of(manifest)
    assert stage0 is not None
    return stage0


def build_load(*neighbours: str, trust: Stage0Trust = Stage0Trust.LAN, has_node_image: bool = False) -> Load:
    return Load(
        mac=Mac(MAC),
        origin=ORIGIN,
        cmdline=CommandLine.parse("a=b"),
        neighbours=tuple(Source(*split_host_port(neighbour)) for neighbour in neighbours),
        trust=trust,
        has_node_image=has_node_image,
    )


def sources(script: str, digest: bytes) -> list[str]:
    """Return the addresses that a script loads an image from, in order."""
    return re.findall(rf"(?:http://|http,)([0-9.:]+)\)?/k/{digest.hex()}\?", script)


def test_a_release_without_a_kernel_or_an_initramfs_has_no_stage_0() -> None:
    assert stage0_of(build_manifest(artifacts=(KERNEL, build_artifact()))) is None


@pytest.mark.parametrize("boot", [ipxe.ipxe_boot, grubscript.grub_boot])
def test_neighbours_come_first_and_the_server_last(boot: Callable[[Stage0, Load], str]) -> None:
    script = boot(build_stage0(), build_load("10.0.0.7:81", "10.0.0.8:82"))
    expected = ["10.0.0.7:81", "10.0.0.8:82", "10.0.0.1"]
    assert sources(script, KERNEL.sha256) == expected
    assert sources(script, INITRAMFS.sha256) == expected


def test_grub_asks_no_neighbour_where_ipxe_is_to_check_what_they_send() -> None:
    script = grubscript.grub_boot(build_stage0(), build_load("10.0.0.7:81", trust=Stage0Trust.IPXE_VERIFY))
    assert "10.0.0.7" not in script
    assert sources(script, KERNEL.sha256) == sources(script, INITRAMFS.sha256) == ["10.0.0.1"]


def test_every_try_of_ipxe_has_a_limit_on_silence_and_a_place_to_go_on() -> None:
    script = ipxe.ipxe_boot(build_stage0(), build_load("10.0.0.7:81", has_node_image=True))
    loads = [line for line in script.splitlines() if line.startswith(("kernel ", "initrd "))]
    assert len(loads) == 5
    assert all(re.search(r"--timeout 5000 .* \|\| goto \w+$", line) for line in loads)
    targets = set(re.findall(r"goto (\w+)", script))
    labels = set(re.findall(r"^:(\w+)$", script, re.MULTILINE))
    assert targets <= labels


def test_an_image_of_a_failed_try_is_freed_before_the_next() -> None:
    lines = ipxe.ipxe_boot(build_stage0(), build_load("10.0.0.7:81")).splitlines()
    assert lines[lines.index(":k1") + 1] == "imgfree vmlinuz ||"
    assert lines[lines.index(":i1") + 1] == "imgfree initramfs.img ||"


def test_the_nodes_own_image_stands_before_the_initramfs() -> None:
    script = ipxe.ipxe_boot(build_stage0(), build_load(has_node_image=True))
    assert "initrd=node.img initrd=initramfs.img a=b" in script
    assert script.index("initrd --name node.img") < script.index("initrd --name initramfs.img")
    assert "node.img" not in ipxe.ipxe_boot(build_stage0(), build_load())


def test_ipxe_verify_accepts_only_what_passes_a_check() -> None:
    script = ipxe.ipxe_boot(build_stage0(), build_load("10.0.0.7:81", trust=Stage0Trust.IPXE_VERIFY))
    for artifact, name in ((KERNEL, "vmlinuz"), (INITRAMFS, "initramfs.img")):
        digest = artifact.sha256.hex()
        assert script.count(f"sha256sum --set found {name} && iseq ${{found}} {digest} && goto") == 2
        assert script.count(f"imgverify {name} {ORIGIN.ipxe}/k/{digest}.sig && goto") == 2
    unchecked = [line for line in script.splitlines() if re.fullmatch(r"goto [ki]_loaded", line)]
    assert unchecked == []


def build_unified() -> Stage0:
    image = build_artifact("boot.efi", role=Role.KERNEL, format=UNIFIED)
    stage0 = stage0_of(build_manifest(artifacts=(image, build_artifact()), cmdline="quiet"))
    assert stage0 is not None
    return stage0


def test_where_firmware_checks_each_source_is_tried_up_to_the_start() -> None:
    lines = ipxe.ipxe_boot(
        build_unified(), build_load("10.0.0.7:81", "10.0.0.8:82", trust=Stage0Trust.SECUREBOOT)
    ).splitlines()
    for number, host in enumerate(("10.0.0.7", "10.0.0.8", "10.0.0.1")):
        following = f"k{number + 1}" if number < 2 else "failed"
        at = lines.index(f":k{number}")
        assert lines[at + 1] == "imgfree"
        assert lines[at + 2].startswith(f"kernel --name vmlinuz --timeout 5000 http://{host}")
        assert lines[at + 2].endswith(f"|| goto {following}")
        assert lines[at + 3 : at + 5] == [
            f"boot || echo swarmboot: this firmware does not start what {host} sent",
            f"goto {following}",
        ]


def test_what_firmware_does_not_check_comes_from_the_server_only() -> None:
    load = build_load("10.0.0.7:81", trust=Stage0Trust.SECUREBOOT, has_node_image=True)
    script = ipxe.ipxe_boot(build_stage0(), load)
    assert sources(script, KERNEL.sha256) == ["10.0.0.7:81", "10.0.0.1"]
    assert set(sources(script, INITRAMFS.sha256)) == {"10.0.0.1"}
    grub = grubscript.grub_boot(build_stage0(), load)
    assert sources(grub, KERNEL.sha256) == ["10.0.0.7:81", "10.0.0.1"]
    assert sources(grub, INITRAMFS.sha256) == ["10.0.0.1"]


@pytest.mark.parametrize("trust", list(Stage0Trust))
def test_a_unified_kernel_image_is_loaded_alone(trust: Stage0Trust) -> None:
    load = build_load("10.0.0.7:81", trust=trust, has_node_image=True)
    script = ipxe.ipxe_boot(build_unified(), load)
    assert not [line for line in script.splitlines() if line.startswith("initrd ")]
    assert "initrd=" not in script
    assert "iseq ${platform} efi || echo" in script
    grub = grubscript.grub_boot(build_unified(), load)
    first = "10.0.0.1" if trust is Stage0Trust.IPXE_VERIFY else "10.0.0.7:81"
    assert f"if chainloader '(http,{first})/k/" in grub
    assert "initrd" not in grub


def test_a_unified_kernel_image_is_named_by_one_digest() -> None:
    found = node_cmdline(build_unified(), mac=MAC, server="https://10.0.0.1:8470")
    assert re.search(r"swarmboot\.stage0=[0-9a-f]{16}$", str(found))


@pytest.mark.parametrize("trust", [Stage0Trust.LAN, Stage0Trust.SECUREBOOT])
def test_other_modes_ask_nothing_of_ipxe_that_debians_lacks(trust: Stage0Trust) -> None:
    script = ipxe.ipxe_boot(build_stage0(), build_load("10.0.0.7:81", trust=trust))
    assert "imgverify" not in script
    assert "sha256sum" not in script


def test_the_command_line_is_the_releases_then_the_profiles_then_ours() -> None:
    found = node_cmdline(
        build_stage0(), mac=MAC, server="https://10.0.0.1:8470", rack="r12", profile=Profile("gpu", cmdline="iommu=pt")
    )
    prefixes = f"{KERNEL.sha256.hex()[:16]},{INITRAMFS.sha256.hex()[:16]}"
    assert str(found) == (
        "console=ttyS0 iommu=pt BOOTIF=01-52-54-00-12-34-56 swarmboot.server=https://10.0.0.1:8470 "
        f"swarmboot.stage0={prefixes} swarmboot.rack=r12"
    )


@pytest.mark.parametrize("cmdline", ["a || shell", "a && reboot", "a ; reboot", "x=${net0/mac}", "it's", "# nothing"])
def test_a_command_line_that_would_be_taken_for_script_is_refused(cmdline: str) -> None:
    with pytest.raises(ReleaseError, match="cannot be written into a boot script"):
        node_cmdline(build_stage0(cmdline), mac=MAC, server="https://10.0.0.1:8470")


def test_a_wait_is_a_few_hundred_bytes_and_asks_again() -> None:
    for wait in (ipxe.ipxe_wait, grubscript.grub_wait):
        script = wait(ORIGIN, Mac(MAC), 37, 2)
        assert len(script) < 300
        assert "&item=channel-edge" in wait(ORIGIN, Mac(MAC), 37, 2, Token("channel-edge"))
        assert "37 machines before this one" in script
        assert "mac=52-54-00-12-34-56" in script


def test_a_reason_cannot_become_a_command() -> None:
    script = ipxe.ipxe_refusal(ORIGIN, Mac(MAC), "no\nshell || reboot ${x} é")
    assert script.splitlines()[2] == "echo swarmboot: no shell ?? reboot ??x? ?"
    assert "'" not in grubscript.grub_refusal(ORIGIN, Mac(MAC), "it's").split("swarmboot: ")[1].split("'; sleep")[0]


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("52-54-00-12-34-56", MAC),
        ("52:54:00:12:34:56", MAC),
        ("52-54-00-AB-CD-EF", "52:54:00:ab:cd:ef"),
        ("", ""),
        ("52-54-00-12-34", ""),
        ("${net0/mac}", ""),
    ],
)
def test_a_mac_address_is_read_in_either_spelling_or_not_at_all(text: str, mac: str) -> None:
    assert parse_mac(text) == mac


def test_only_origin_only_keeps_neighbours_out_and_every_mode_says_what_it_means() -> None:
    assert [each for each in Stage0Trust if not each.has_neighbours] == [Stage0Trust.ORIGIN_ONLY]
    assert len({each.words for each in Stage0Trust}) == len(Stage0Trust)
    assert "trust every machine on this network" in Stage0Trust.LAN.words


def test_a_grub_that_does_not_say_who_it_is_never_asks_without_a_mac_address() -> None:
    lines = grubscript.grub_entry(ORIGIN).splitlines()
    assert lines[1] == "set mac=$net_default_mac"
    assert 'if [ -z "$mac" ]; then set mac=$net_efinet0_dhcp_mac; fi' in lines
    (asking,) = [line for line in lines if "configfile" in line]
    assert asking.startswith('if [ -n "$mac" ]; then configfile (http,10.0.0.1)/grub.cfg?mac=$mac; else ')


def test_grub_leaves_out_http_s_own_port() -> None:
    script = grubscript.grub_boot(build_stage0(), build_load("10.0.0.7:80"))
    assert "(http,10.0.0.7)/k/" in script


@pytest.mark.parametrize(
    ("version", "is_kept", "is_asked"),
    [
        ("6.12.48+deb13-amd64 (debian-kernel@lists.debian.org) #1 SMP", True, True),
        ("6.8.0", True, True),
        ("6.12.48+deb13-amd64", False, False),
        ("6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP", True, False),
        ("", True, False),
    ],
)
def test_a_kernel_is_to_keep_its_initramfs_only_where_neighbours_serve_it_and_it_can_be_read_again(
    version: str, is_kept: bool, is_asked: bool
) -> None:
    stage0 = build_stage0()
    stage0 = replace(stage0, kernel=replace(stage0.kernel, version=version))
    words = node_cmdline(stage0, mac=MAC, server="https://10.0.0.1:8470", is_kept=is_kept).words
    assert ("retain_initrd" in words) == is_asked


@pytest.mark.parametrize(("left", "is_asked"), [(13, False), (14, True)])
def test_a_command_line_without_room_for_it_boots_all_the_same(left: int, is_asked: bool) -> None:
    stage0 = build_stage0()
    stage0 = replace(stage0, cmdline="", kernel=replace(stage0.kernel, version="6.12.48"))
    own = len(str(node_cmdline(stage0, mac=MAC, server="https://10.0.0.1:8470"))) + 1
    stage0 = replace(stage0, cmdline="x" * (COMMAND_LINE_MAX - own - left))
    words = node_cmdline(stage0, mac=MAC, server="https://10.0.0.1:8470", is_kept=True).words
    assert ("retain_initrd" in words) == is_asked


def test_an_initramfs_within_a_unified_kernel_image_is_not_kept() -> None:
    stage0 = build_unified()
    stage0 = replace(stage0, kernel=replace(stage0.kernel, version="6.12.48"))
    assert "retain_initrd" not in node_cmdline(stage0, mac=MAC, server="https://10.0.0.1:8470", is_kept=True).words
