"""Which boot a fact belongs to, and what becomes of the boot."""

from __future__ import annotations

import tracemalloc

import pytest

from seeder.record.policy.boot import Outcome, from_values, to_values
from seeder.record.policy.causes import Site, cause_of
from seeder.record.policy.ledger import Ledger
from seeder.record.policy.state import standing
from swarmboot.wire.announce import NodeState
from swarmboot.wire.report import BOOTED, FAILED
from tests.support.record import BOOT_ID, HOST, MAC, TOLD, build_heard, build_report

OTHER = "bb" * 16


def test_a_boot_is_followed_from_its_script_to_its_services() -> None:
    ledger = Ledger()
    ledger.asked(MAC, host=HOST, rack="r1", now_s=100.0)
    ledger.granted(MAC, host=HOST, now_s=103.0)
    ledger.loaded(MAC, host=HOST, now_s=110.0)
    ledger.announced(build_heard(), now_s=120.0)
    ledger.reported(build_report(uptime_s=18.0), host=HOST, now_s=130.0)
    boot = ledger.reported(
        build_report(OTHER, BOOTED, phases={**TOLD, "services": 20.0}, uptime_s=38.0), host=HOST, now_s=150.0
    )
    assert len(ledger.boots) == 1
    assert (boot.phase, boot.outcome, boot.mac, boot.rack, boot.sequence) == ("up", Outcome.UP, MAC, "r1", 7)
    assert boot.phases["queue"] == (100.0, 103.0)
    assert boot.phases["stage0"] == (103.0, 110.0)
    assert boot.phases["kernel"] == (110.0, 120.0)
    assert boot.phases["images"] == (121.0, 129.0)
    assert boot.phases["services"] == (130.0, 150.0)


def test_no_key_is_no_boot_although_boots_have_no_name() -> None:
    ledger = Ledger()
    ledger.missed("10.0.0.9", "edgy", now_s=100.0)
    assert [boot.name for boot in ledger.boots.values()] == [""]
    assert [ledger.find(key) for key in ("", " ")] == [None, None]
    assert ledger.find("10.0.0.9") is not None


def test_machines_that_call_themselves_the_same_are_known_as_others_of_that_name() -> None:
    ledger = Ledger()
    for number in (1, 2, 3):
        ledger.announced(
            build_heard(f"{number:032x}", host=f"10.0.3.{number}", mac=f"52:54:00:00:00:0{number}", name="debian"),
            now_s=100.0 + number,
        )
    ledger.announced(build_heard("9" * 32, host="10.0.3.9", mac="52:54:00:00:00:09"), now_s=110.0)
    boot = ledger.find("debian")
    assert boot is not None
    assert boot.address == "10.0.3.3"
    assert [each.address for each in ledger.namesakes(boot)] == ["10.0.3.2", "10.0.3.1"]
    nameless = ledger.find("10.0.3.9")
    assert nameless is not None
    assert ledger.namesakes(nameless) == []


def test_the_same_machine_is_found_after_its_address_and_its_id_have_changed() -> None:
    ledger = Ledger()
    ledger.asked(MAC, host=HOST, rack="", now_s=100.0)
    ledger.granted(MAC, host=HOST, now_s=100.0)
    ledger.loaded(MAC, host=HOST, now_s=101.0)
    ledger.announced(build_heard(host="10.0.3.99", mac=MAC, boot=BOOT_ID), now_s=110.0)
    ledger.reported(build_report(), host="10.0.3.99", now_s=120.0)
    ledger.announced(build_heard(host="10.0.3.99", state=NodeState.LEAVING), now_s=121.0)
    ledger.announced(build_heard(OTHER, host="10.0.3.50", mac=MAC, boot=BOOT_ID, state=NodeState.COMPLETE), now_s=140.0)
    (boot,) = ledger.boots.values()
    assert boot.addresses == ("10.0.3.50", "10.0.3.99", HOST)
    assert boot.outcome is Outcome.UP
    for key in (MAC, MAC.replace(":", "-").upper(), "10.0.3.50", OTHER[:8], BOOT_ID, boot.id, "aa" * 16):
        assert ledger.find(key) is boot
    assert ledger.find("10.9.9.9") is None


def test_a_node_without_a_mac_address_is_joined_with_its_stage_0_once_that_is_known() -> None:
    ledger = Ledger()
    ledger.asked(MAC, host=HOST, rack="r9", now_s=100.0)
    ledger.granted(MAC, host=HOST, now_s=101.0)
    ledger.announced(build_heard(host="10.0.3.99"), now_s=110.0)
    assert len(ledger.boots) == 2
    boot = ledger.reported(build_report(), host="10.0.3.99", now_s=120.0)
    changed, current = ledger.take_changed()
    assert list(ledger.boots) == [boot.id]
    assert (boot.rack, boot.phases["queue"]) == ("r9", (100.0, 101.0))
    assert [id_ for id_, value in changed.items() if value is None]
    assert current == {boot.id}


def test_the_next_boot_of_a_machine_is_another_row_and_the_last_is_no_longer_current() -> None:
    ledger = Ledger()
    first = ledger.reported(build_report(outcome=FAILED, error="no room", exit_status=61), host=HOST, now_s=100.0)
    second = ledger.asked(MAC, host=HOST, rack="", now_s=110.0)
    assert list(ledger.boots) == [second.id]
    assert second.id != first.id
    assert ledger.find(MAC) is second


def test_two_programs_of_one_host_that_speak_at_once_are_two_rows() -> None:
    ledger = Ledger()
    for number in range(4):
        ledger.announced(build_heard(f"{number:032x}", host=f"127.0.0.{number}", mac=MAC, boot=BOOT_ID), now_s=100.0)
    assert len(ledger.boots) == 4


def test_who_asks_with_the_mac_address_of_a_live_node_from_elsewhere_ends_nobodys_row() -> None:
    ledger = Ledger()
    boot = ledger.announced(build_heard(mac=MAC), now_s=100.0)
    ledger.asked(MAC, host="10.0.9.9", rack="", now_s=110.0)
    assert boot.id in ledger.boots
    assert len(ledger.boots) == 2


def test_a_node_that_has_failed_and_tries_again_is_booting_and_its_fault_is_kept() -> None:
    ledger = Ledger()
    ledger.announced(build_heard(mac=MAC, boot=BOOT_ID), now_s=100.0)
    failed = build_report(outcome=FAILED, error="nobody answers", exit_status=21, hands_off=False)
    ledger.reported(failed, host=HOST, now_s=105.0)
    boot = ledger.announced(build_heard(OTHER, mac=MAC, boot=BOOT_ID), now_s=107.0)
    assert (boot.outcome, boot.phase, len(ledger.boots)) == (Outcome.OPEN, "images", 1)
    assert [fault.exit_status for fault in boot.faults] == [21]


def test_a_fetch_on_a_machine_that_has_been_up_for_days_says_nothing_of_how_long_kernels_take() -> None:
    boot = Ledger().reported(build_report(hands_off=False, uptime_s=1e6), host=HOST, now_s=2e6)
    assert "kernel" not in boot.phases
    boot = Ledger().reported(build_report(uptime_s=18.0), host=HOST, now_s=2e6)
    assert boot.phases["kernel"] == (2e6 - 18.0, 2e6 - 10.0)


def test_a_node_that_failed_stays_although_another_program_of_its_host_speaks() -> None:
    ledger = Ledger()
    failed = build_report(outcome=FAILED, error="no room", exit_status=61, hands_off=False)
    ledger.reported(failed, host=HOST, now_s=100.0)
    ledger.announced(build_heard(OTHER, host="10.0.3.8", mac=MAC, boot=BOOT_ID), now_s=200.0)
    assert [boot.outcome for boot in ledger.boots.values()] == [Outcome.FAILED, Outcome.OPEN]


def test_a_program_of_another_kernel_is_another_boot() -> None:
    ledger = Ledger()
    ledger.reported(build_report(), host=HOST, now_s=100.0)
    other = BOOT_ID[:-1] + "2"
    boot = ledger.announced(build_heard(OTHER, mac=MAC, boot=other), now_s=110.0)
    assert list(ledger.boots) == [boot.id]
    assert boot.boot == other


def test_who_makes_up_machines_pushes_out_no_node_that_has_spoken() -> None:
    ledger = Ledger(bare_max=10)
    node = ledger.announced(build_heard(), now_s=1.0)
    for number in range(100):
        ledger.asked(f"52:54:00:00:01:{number:02x}", host=f"10.1.0.{number}", rack="", now_s=2.0)
    assert node.id in ledger.boots
    assert len(ledger.boots) == 11


def test_what_is_current_is_bounded_and_the_longest_unheard_goes() -> None:
    ledger = Ledger(current_max=3)
    for number in range(5):
        ledger.announced(build_heard(f"{number:032x}", host=f"10.0.0.{number}"), now_s=float(number))
    assert [boot.address for boot in ledger.boots.values()] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]


def test_a_node_that_comes_complete_is_up_although_nothing_is_known_of_its_boot() -> None:
    boot = Ledger().announced(build_heard(state=NodeState.COMPLETE), now_s=1.0)
    assert boot.phase == "up"


def test_a_boot_is_the_same_after_it_was_written_and_read() -> None:
    ledger = Ledger()
    ledger.announced(build_heard(mac=MAC), now_s=1.0)
    boot = ledger.reported(
        build_report(outcome=FAILED, error="no room", exit_status=61, bans=("10.0.0.9",)), host=HOST, now_s=2.0
    )
    assert from_values(to_values(boot)) == boot
    assert from_values({**to_values(boot), "of a later build": 1}) == boot
    with pytest.raises((TypeError, ValueError)):
        from_values({"id": "x"})


def test_what_forged_nodes_say_of_themselves_is_kept_in_a_few_kilobytes_each() -> None:
    ledger, boots = Ledger(), 50
    tracemalloc.start()
    for number in range(boots):
        node, host = f"{number:032x}", f"10.9.0.{number}"
        own = {"mac": f"52:54:00:00:01:{number:02x}", "boot": ""}
        ledger.announced(build_heard(node, host=host, **own), now_s=100.0)
        for again in range(20):
            said = f"{number} {again} " + "\U0001f600" * 1000
            told = build_report(node, FAILED, error=said, stage0=said, bans=(said[:60],), **own)
            ledger.reported(told, host=host, now_s=101.0 + again)
        ledger.take_changed()
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(ledger.boots) == boots
    assert kept_bytes < boots * 12_000


def test_a_second_fetch_on_a_machine_is_another_story_and_mixes_nothing_with_the_first() -> None:
    ledger = Ledger()
    of = {"mac": MAC, "boot": BOOT_ID}
    ledger.announced(build_heard(**of, channel="stable"), now_s=100.0)
    first = ledger.reported(build_report(hands_off=False, channel="stable", profile="gpu"), host=HOST, now_s=110.0)
    ledger.announced(build_heard(state=NodeState.LEAVING), now_s=111.0)
    ledger.missed(HOST, "edgy", now_s=120.0)
    second = ledger.find(HOST)
    assert second is not None
    assert (second.channel, second.missed, second.sequence, second.phase) == ("edgy", "edgy", 0, "manifest")
    failed = build_report(
        OTHER, FAILED, hands_off=False, channel="edgy", sequence=0, error="no such channel", phases={}
    )
    second = ledger.reported(failed, host=HOST, now_s=130.0)
    assert (second.channel, second.sequence, second.profile, second.mac) == ("edgy", 0, "", MAC)
    third = ledger.announced(build_heard("cc" * 16, **of, channel="beta", sequence=9), now_s=140.0)
    assert (third.channel, third.sequence, third.missed, third.phase) == ("beta", 9, "", "images")
    changed, current = ledger.take_changed()
    told = changed[first.id]
    assert told is not None
    assert (told.channel, told.sequence, told.profile, told.missed) == ("stable", 7, "gpu", "")
    assert current == {third.id} == {second.id}


def test_a_fetch_beside_a_booted_system_changes_nothing_of_its_boot_but_what_went_wrong_is_noted() -> None:
    ledger = Ledger()
    of = {"mac": MAC, "boot": BOOT_ID}
    ledger.reported(build_report(channel="stable"), host=HOST, now_s=100.0)
    booted = ledger.announced(build_heard(OTHER, **of, state=NodeState.COMPLETE), now_s=110.0)
    ledger.missed(HOST, "edgy", now_s=120.0)
    ledger.announced(build_heard("cc" * 16, **of, channel="beta", sequence=9), now_s=121.0)
    failed = build_report(
        "dd" * 16, FAILED, hands_off=False, channel="beta", sequence=0, error="no room", exit_status=61
    )
    boot = ledger.reported(failed, host=HOST, now_s=130.0)
    assert list(ledger.boots) == [booted.id]
    assert (boot.outcome, boot.channel, boot.sequence, boot.missed) == (Outcome.UP, "stable", 7, "")
    assert [fault.text for fault in boot.faults] == [
        "a program on it asked for channel edgy, which this site does not have",
        "a program on it failed: no room",
    ]


def test_firmware_is_seen_by_its_dhcp_and_is_the_same_boot_when_it_asks_for_its_script() -> None:
    ledger = Ledger()
    ledger.offered(MAC, now_s=100.0)
    ledger.offered(MAC, now_s=104.0)  # iPXE, which firmware has loaded
    ledger.asked(MAC, host=HOST, rack="", now_s=105.0)
    ledger.offered(MAC, now_s=105.1)  # said by another program, and read later
    (boot,) = ledger.boots.values()
    assert boot.phases == {"dhcp": (100.0, 105.0), "queue": (105.0, None)}
    again = ledger.offered(MAC, now_s=200.0)  # it was reset
    assert (again.phase, list(ledger.boots)) == ("dhcp", [again.id])


def test_dhcp_with_the_mac_address_of_a_live_node_ends_nobodys_row_and_leaves_no_mark_on_it() -> None:
    ledger = Ledger()
    node = ledger.announced(build_heard(mac=MAC), now_s=100.0)
    ledger.offered(MAC, now_s=115.0)
    assert len(ledger.boots) == 2
    node = ledger.reported(build_report(), host=HOST, now_s=120.0)
    assert "dhcp" not in node.phases
    assert ledger.find(HOST) is node


def test_who_asked_for_a_channel_in_vain_and_gave_up_is_told_by_the_channel_and_in_the_order_of_its_phases() -> None:
    ledger = Ledger()
    ledger.missed(HOST, "stabel", now_s=100.0)
    failed = build_report(
        outcome=FAILED, error="a neighbour answered 404", exit_status=22, phases={"leecher_start": 0.5}, sequence=0
    )
    boot = ledger.reported(failed, host=HOST, now_s=108.0)
    assert boot.phases == {"leecher_start": (99.5, 100.0), "manifest": (100.0, 108.0)}
    cause = cause_of(boot, standing(boot, {}, now_s=109.0), Site({"stable": 7}), now_s=109.0)
    assert cause.text == "asked for channel stabel; this site has stable"
    assert cause.advice.startswith("set swarmboot.channel to stable")
    assert ledger.announced(build_heard(OTHER, mac=MAC, boot=BOOT_ID), now_s=110.0).missed == ""


def test_a_machine_that_is_shown_a_menu_boots_nothing_until_it_has_chosen() -> None:
    ledger = Ledger()
    ledger.offered(MAC, now_s=100.0)
    ledger.shown_menu(MAC, host=HOST)
    assert ledger.find(MAC) is None
    ledger.asked(MAC, host=HOST, rack="", now_s=130.0)
    ledger.granted(MAC, host=HOST, now_s=131.0)
    ledger.shown_menu(MAC, host=HOST)
    boot = ledger.find(MAC)
    assert boot is not None
    assert boot.phase == "stage0"
