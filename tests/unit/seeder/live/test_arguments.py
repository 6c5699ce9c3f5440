"""What becomes of a live image's kernel arguments."""

from __future__ import annotations

import pytest

from seeder.live.arguments import take_over
from swarmboot.errors import ReleaseError


def test_what_live_config_reads_stays_and_what_live_boot_reads_does_not() -> None:
    words = "boot=live components hostname=a username=b toram fetch=http://x/y ethdevice=eth0 findiso=${iso_path} quiet"
    taken = take_over(words.split(), label="live.cfg")
    assert taken.kept == ("boot=live", "components", "hostname=a", "username=b", "ethdevice=eth0", "quiet")
    assert [line.split(": ")[1] for line in taken.lost] == ["toram", "fetch=http://x/y", "findiso=${iso_path}"]


def test_the_size_of_the_overlay_is_ours() -> None:
    assert take_over(["overlay-size=80%"], label="x").kept == ("swarmboot.overlay=80%",)


@pytest.mark.parametrize("word", ["ip=dhcp", "ip=10.0.0.2::10.0.0.1:255.255.255.0:node:eth0:none"])
def test_an_address_as_the_kernel_has_it_stays(word: str) -> None:
    assert take_over([word], label="x").kept == (word,)


@pytest.mark.parametrize("word", ["ip=", "ip=frommedia", "ip=eth0:10.0.0.2:255.0.0.0:10.0.0.1,eth1:10.1.0.2:255.0.0.0"])
def test_an_address_as_live_boot_has_it_is_named(word: str) -> None:
    taken = take_over([word], label="x")
    assert taken.kept == ()
    assert taken.lost[0].startswith(f"x: {word}: live-boot's words")


@pytest.mark.parametrize("word", ["persistence", "live-boot.persistence", "nfsoverlay=1.2.3.4:/x", "todisk=/dev/sda"])
def test_changes_that_are_to_outlive_a_boot_are_refused(word: str) -> None:
    with pytest.raises(ReleaseError, match=r"asks for changes to outlive a boot"):
        take_over(["boot=live", word], label="x")


def test_nopersistence_settles_what_the_menu_says_of_it() -> None:
    taken = take_over(["persistence", "nopersistence"], label="x")
    assert taken.kept == ("nopersistence",)
    assert taken.lost == ("x: persistence: nothing is kept on nodes",)


@pytest.mark.parametrize("word", ["hostname=a-${LINK}", "hooks=it's", "#x", "&&", "a\\b", "é=1"])
def test_what_no_boot_script_can_carry_is_named(word: str) -> None:
    taken = take_over([word], label="x")
    assert taken.lost == (f"x: {word}: no boot script can hand it over as it is",)
