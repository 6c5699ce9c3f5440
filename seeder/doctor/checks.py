"""What is made of what a machine says of itself: each part in order, worth a note, or in the way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from swarmboot.text.units import format_size

DNSMASQ_LEAST = (2, 81)
_CERTIFICATE_NOTE = timedelta(days=30)
_ROOM_LEAST_BYTES, _ROOM_GOOD_BYTES = 100 << 20, 1 << 30
_CLOCK_LEAST_YEAR, _CLOCK_SLACK = 2026, timedelta(minutes=1)
_DESCRIPTORS_SPARE = 256
_PER_NODE = 2
"""Connections that a node has at most at a time: its announce, which waits, and a range."""
_DROPS = re.compile(
    r"policy drop|^\s*(?:counter(?: packets \d+ bytes \d+)? )?(?:drop|reject)\b"
    r"|:INPUT DROP|-P INPUT DROP|-A INPUT -j (?:DROP|REJECT)\b",
    re.MULTILINE,
)
"""What drops whatever no rule before it has let in."""
_VERSION = re.compile(r"(\d+)\.(\d+)")


class State(StrEnum):
    """What a check says."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found and, unless it is in order, how to mend it."""

    name: str
    state: State
    found: str
    mend: str = ""

    @property
    def line(self) -> str:
        """Return it on one line."""
        return f"{self.state.value:<6}{self.name}: {self.found}" + (f"; {self.mend}" if self.mend else "")

    @property
    def value(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)


UNSEEN = "another program"
"""What has a port where this user may not see who has it."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a server needs: `holder` is the program that has it, empty if nobody has.

    `reason` is why nobody on this machine can have it, empty if one can.
    """

    protocol: str
    number: int
    use: str
    holder: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """Return it as people say it."""
        return f"{self.protocol} port {self.number} ({self.use})"


def check_port(port: Port) -> Check:
    """Return whether a server can have a port, or has it."""
    if port.reason:
        mend = "have swarmboot listen at an address that this machine has"
        return Check("ports", State.FAULT, f"{port.name} cannot be had: {port.reason}", mend)
    if not port.holder:
        return Check("ports", State.OK, f"{port.name} is free")
    if "swarmboot" in port.holder:
        return Check("ports", State.OK, f"{port.name}: swarmboot serves there")
    mend = f"stop {port.holder if port.holder != UNSEEN else 'it'}, or have swarmboot listen elsewhere"
    return Check("ports", State.FAULT, f"{port.name} is taken by {port.holder}", mend)


def check_firewall(rules: str, ports: Sequence[Port]) -> list[Check]:
    """Return what nft's or iptables' rules, as text, do to what machines send to ports, as far as it can be read.

    Only rules that drop all that none has let in before are looked at; one that names a port is taken to let it in.
    """
    inward = _inward(rules)
    if not _DROPS.search(inward):
        return [Check("firewall", State.OK, "no rule drops what comes in")]
    lacking = [port for port in ports if not re.search(rf"\b{port.number}\b", inward)]
    if not lacking:
        return [Check("firewall", State.OK, "the rules name each port")]
    named = ", ".join(port.name for port in lacking)
    first = lacking[0]
    mend = f"let it in, as by `nft add rule inet filter input {first.protocol} dport {first.number} accept`"
    return [Check("firewall", State.NOTE, f"rules drop what comes in, and none names {named}", mend)]


def _inward(rules: str) -> str:
    """Return the part of the rules that is about what comes in, and chains that this leads to."""
    if "-P INPUT" in rules or ":INPUT" in rules:  # iptables -S, iptables-save
        return "\n".join(
            line for line in rules.splitlines() if not re.search(r"(?:OUTPUT|FORWARD|POSTROUTING)\b", line)
        )
    chains = re.findall(r"chain \S+ \{.*?\n\t?\}", rules, re.DOTALL)
    return "\n".join(chain for chain in chains if "hook output" not in chain and "hook forward" not in chain)


def check_dnsmasq(version: str | None) -> Check:
    """Return whether dnsmasq is there and new enough; `version` is the first line of what it says, None without it."""
    if version is None:
        return Check("dnsmasq", State.FAULT, "not installed", "apt install dnsmasq-base")
    match = _VERSION.search(version)
    found = (int(match[1]), int(match[2])) if match else (0, 0)
    least = ".".join(map(str, DNSMASQ_LEAST))
    if found < DNSMASQ_LEAST:
        return Check("dnsmasq", State.FAULT, version, f"install {least} or newer")
    return Check("dnsmasq", State.OK, f"{found[0]}.{found[1]}")


def check_dhcp(heard: Iterable[str], *, own: Iterable[str], interface: str, is_proxy: bool) -> Check:
    """Return what it means who answered a machine's question on an interface: servers' addresses, perhaps our own."""
    others = sorted(set(heard) - set(own))
    if is_proxy and not others:
        mend = f"start one, or give out addresses here: --pxe {interface} --dhcp-range FIRST,LAST"
        return Check(
            "other DHCP servers", State.FAULT, f"nobody answers on {interface}, so nobody gives addresses", mend
        )
    if others and not is_proxy:
        found = f"{', '.join(others)} answers on {interface}"
        mend = f"machines take either's answer: stop it, or run beside it with --pxe {interface},proxy"
        return Check("other DHCP servers", State.FAULT, found, mend)
    found = f"{', '.join(others)} gives addresses on {interface}" if others else f"nobody else answers on {interface}"
    return Check("other DHCP servers", State.OK, found)


def check_multicast(interface: str, group: str, *, is_heard: bool, answered: int, up: int) -> Check:
    """Return what it means how many nodes answered in a group, of those that are known to be up on an interface.

    Without an answer nodes find each other by the server, and not while it is away.
    """
    if answered:
        nodes = f"{answered} node answers" if answered == 1 else f"{answered} nodes answer"
        return Check("multicast", State.OK, f"{nodes} in {group} on {interface}")
    if not is_heard:
        mend = f"let UDP port 8471 in, and `ip link set {interface} multicast on`"
        return Check("multicast", State.NOTE, f"this machine does not hear itself in {group} on {interface}", mend)
    if up:
        mend = (
            "have the switch ask who is in a group (an IGMP querier), or turn its IGMP snooping off; until then nodes "
            "find each other by this server alone, and not while it is away"
        )
        return Check("multicast", State.NOTE, f"of {up} nodes that are up on {interface} none answers in {group}", mend)
    return Check("multicast", State.OK, f"no node on {interface} is up yet that could answer in {group}")


def check_certificate(what: str, ends: datetime | None, now: datetime) -> Check:
    """Return whether a certificate is good today and for a while; None is one that is made when it is needed."""
    if ends is None:
        return Check("certificates", State.OK, f"{what} is made at the first start")
    day = f"{ends:%Y-%m-%d}"
    if ends <= now:
        return Check("certificates", State.FAULT, f"{what} has ended on {day}", "renew it; nodes refuse it")
    if ends - now < _CERTIFICATE_NOTE:
        return Check("certificates", State.NOTE, f"{what} ends on {day}", "renew it before")
    return Check("certificates", State.OK, f"{what} is good until {day}")


def check_clock(now: datetime, *, is_kept: bool | None, published: datetime | None = None) -> Check:
    """Return whether the clock can be right; `is_kept` says whether the kernel knows it to be set by a server.

    `published` is when this machine has last published, by its clock then: a later one is a clock that went back.
    """
    said = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if published is not None and published > now + _CLOCK_SLACK:
        found = f"{said}, and the newest manifest here is of {published:%Y-%m-%d %H:%M}"
        return Check("clock", State.FAULT, found, "set it: what is signed now would be older than what nodes have")
    if now.year < _CLOCK_LEAST_YEAR:
        return Check("clock", State.FAULT, said, "set it: releases and certificates would be of the future")
    if is_kept is False:
        return Check("clock", State.NOTE, f"{said}, kept by no time server", "run systemd-timesyncd or chrony")
    return Check("clock", State.OK, said)


def check_state(folder: str, *, is_folder: bool, may_write: bool) -> Check | None:
    """Return what keeps a server from having its state where it is to be; None if nothing does."""
    if not is_folder:
        return Check("state", State.FAULT, f"{folder} is no folder", "give another one with --state")
    if not may_write:
        return Check("state", State.NOTE, f"this user may not write to {folder}", "serve as the user whose it is")
    return None


def check_room(where: str, free_bytes: int) -> Check:
    """Return whether there is room to work in a folder."""
    found = f"{format_size(free_bytes)} free in {where}"
    if free_bytes < _ROOM_LEAST_BYTES:
        return Check("disk", State.FAULT, found, "make room, as by `swarmboot prune`")
    if free_bytes < _ROOM_GOOD_BYTES:
        return Check("disk", State.NOTE, found, "make room, as by `swarmboot prune`")
    return Check("disk", State.OK, found)


def check_neighbours(gc_thresh3: int, nodes: int) -> Check:
    """Return whether the kernel's table of hardware addresses (arp(7)) has room for a fleet."""
    if nodes <= gc_thresh3 * 3 // 4:
        return Check("ARP table", State.OK, f"room for {gc_thresh3} machines")
    least = 1 << (2 * nodes - 1).bit_length()
    levels = f"gc_thresh1={least // 4} gc_thresh2={least // 2} gc_thresh3={least}"
    sysctl = " ".join(f"net.ipv4.neigh.default.{each}" for each in levels.split())
    return Check("ARP table", State.FAULT, f"room for {gc_thresh3} machines, of {nodes}", f"sysctl -w {sysctl}")


def check_descriptors(most: int, nodes: int) -> Check:
    """Return whether a server may open as many files and connections as a fleet asks for."""
    least = _PER_NODE * nodes + _DESCRIPTORS_SPARE
    if most >= least:
        return Check("descriptors", State.OK, f"{most} at most")
    mend = f"raise it: ulimit -Hn {least}, or LimitNOFILE={least} in the unit"
    return Check("descriptors", State.FAULT, f"{most} at most, for {nodes} nodes", mend)
