"""What is made of what a machine says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from seeder.doctor.checks import (
    UNSEEN,
    Port,
    State,
    check_certificate,
    check_clock,
    check_descriptors,
    check_dhcp,
    check_dnsmasq,
    check_firewall,
    check_multicast,
    check_neighbours,
    check_port,
    check_room,
    check_state,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PORTS = (Port("tcp", 8470, "HTTPS"), Port("udp", 69, "TFTP"))
NFT = """table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		tcp dport { 22, 8470 } accept
	}

	chain output {
		type filter hook output priority filter; policy drop;
		udp dport 69 accept
	}
}
"""


OPEN = NFT.replace("policy drop", "policy accept")


def test_a_port_that_another_program_has_is_in_the_way_and_our_own_is_not() -> None:
    assert check_port(PORTS[0]).state is State.OK
    assert check_port(Port("tcp", 8470, "HTTPS", "swarmboot (process 7)")).state is State.OK
    taken = check_port(Port("tcp", 80, "stage 0", "nginx (process 9)"))
    assert taken.state is State.FAULT
    assert "taken by nginx (process 9); stop nginx" in taken.line
    elsewhere = check_port(Port("tcp", 80, "stage 0", reason="Cannot assign requested address"))
    assert elsewhere.state is State.FAULT
    assert "cannot be had: Cannot assign requested address" in elsewhere.line


@pytest.mark.parametrize(
    ("rules", "state", "words"),
    [
        ("", State.OK, "no rule drops"),
        (NFT, State.NOTE, "none names udp port 69 (TFTP)"),
        (NFT.replace("22, 8470", "69, 8470"), State.OK, "the rules name each port"),
        (OPEN, State.OK, "no rule drops"),
        (OPEN.replace("accept\n\t}", "accept\n\t\tcounter drop\n\t}", 1), State.NOTE, "69"),
        (OPEN.replace("established,related accept", "invalid drop"), State.OK, "no"),
        (":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 8470 -j ACCEPT\n", State.NOTE, "udp port 69"),
        (":INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n", State.OK, "no rule drops"),
        (":INPUT ACCEPT [0:0]\n-A INPUT -j REJECT --reject-with icmp-port-unreachable\n", State.NOTE, "8470"),
    ],
)  # fmt: skip
def test_rules_that_drop_what_no_rule_names_are_told(rules: str, state: State, words: str) -> None:
    (check,) = check_firewall(rules, PORTS)
    assert (check.state, words in check.line) == (state, True), check.line


@pytest.mark.parametrize(
    ("version", "state"),
    [(None, State.FAULT), ("Dnsmasq version 2.80  Copyright", State.FAULT), ("Dnsmasq version 2.90  C", State.OK)],
)
def test_dnsmasq_is_there_and_new_enough(version: str | None, state: State) -> None:
    assert check_dnsmasq(version).state is state


@pytest.mark.parametrize(
    ("heard", "is_proxy", "state"),
    [
        ((), False, State.OK),
        (("10.0.0.1",), False, State.OK),
        (("10.0.0.9",), False, State.FAULT),
        ((), True, State.FAULT),
        (("10.0.0.1",), True, State.FAULT),
        (("10.0.0.9",), True, State.OK),
    ],
)
def test_one_server_gives_addresses_and_no_other(heard: tuple[str, ...], is_proxy: bool, state: State) -> None:
    assert check_dhcp(heard, own=("127.0.0.1", "10.0.0.1"), interface="eth1", is_proxy=is_proxy).state is state


def test_times_and_limits_are_in_the_way_when_they_end_a_boot() -> None:
    assert check_certificate("the authority", None, NOW).state is State.OK
    states = [check_certificate("x", NOW + timedelta(days=days), NOW).state for days in (-1, 7, 90)]
    assert states == [State.FAULT, State.NOTE, State.OK]
    assert check_clock(datetime(1970, 1, 1, tzinfo=UTC), is_kept=True).state is State.FAULT
    assert [check_clock(NOW, is_kept=each).state for each in (True, False, None)] == [State.OK, State.NOTE, State.OK]
    assert [check_room("/srv", size).state for size in (1 << 20, 1 << 28, 1 << 40)] == [*State][::-1]
    assert check_neighbours(1024, 500).state is State.OK
    assert "net.ipv4.neigh.default.gc_thresh3=4096" in check_neighbours(1024, 2000).line
    assert [check_descriptors(1024, nodes).state for nodes in (300, 2000)] == [State.OK, State.FAULT]


def test_a_clock_that_went_back_since_the_last_release_is_a_fault() -> None:
    check = check_clock(NOW, is_kept=True, published=NOW + timedelta(hours=2))
    assert check.state is State.FAULT
    assert "the newest manifest here is of 2026-05-01 02:00" in check.found
    for published in (None, NOW - timedelta(days=1), NOW + timedelta(seconds=20)):
        assert check_clock(NOW, is_kept=True, published=published).state is State.OK


@pytest.mark.parametrize(
    ("is_heard", "answered", "up", "state"),
    [
        (True, 0, 0, State.OK),
        (True, 0, 3, State.NOTE),
        (True, 2, 3, State.OK),
        (False, 2, 3, State.OK),
        (False, 0, 0, State.NOTE),
        (False, 0, 3, State.NOTE),
    ],
)
def test_nodes_that_are_up_and_do_not_answer_in_their_group_are_a_note(
    is_heard: bool, answered: int, up: int, state: State
) -> None:
    check = check_multicast("eth1", "239.192.84.70", is_heard=is_heard, answered=answered, up=up)
    assert check.state is state
    assert bool(check.mend) == (state is State.NOTE)


def test_a_state_folder_that_is_a_file_is_a_fault_and_one_of_anothers_a_note() -> None:
    assert check_state("state", is_folder=True, may_write=True) is None
    no_folder, anothers = (check_state("state", is_folder=each, may_write=False) for each in (False, True))
    assert no_folder is not None
    assert no_folder.line == "fault state: state is no folder; give another one with --state"
    assert anothers is not None
    assert anothers.state is State.NOTE


def test_who_is_not_seen_is_not_called_another_program_twice() -> None:
    line = check_port(Port("udp", 67, "DHCP", UNSEEN)).line
    assert line.endswith("is taken by another program; stop it, or have swarmboot listen elsewhere")
