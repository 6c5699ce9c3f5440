"""The likely cause of how a boot stands, in plain words, and what to do. Pure: one function for each known case.

It says what was seen and what that mostly means; it does not know more than the record does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from seeder.record.policy.boot import Boot, Outcome
from seeder.record.policy.state import Standing, State, Why
from swarmboot.text.spelling import nearest
from swarmboot.text.units import format_duration


@dataclass(frozen=True, slots=True)
class Site:
    """What this server has: the sequence number that each of its channels points to."""

    channels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause by its kind, in words, and what to do about it; all empty where there is nothing to say."""

    kind: str = ""
    text: str = ""
    advice: str = ""


NOTHING = Cause()


@dataclass(frozen=True, slots=True)
class Case:
    """A boot, how it stands, what the site has, and the time."""

    boot: Boot
    how: Standing
    site: Site
    now_s: float


REFUSALS = {
    "token": Cause(
        "no fleet token",
        "it does not prove this fleet's token, so this server does not listen to it",
        "rebuild its initramfs with --fleet-token FILE of this fleet, or start serve with its token as well",
    ),
    "authority": Cause(
        "certificate not trusted",
        "it does not trust this server's certificate: it knows another authority",
        "give it this server's ca.pem (swarmboot.ca, --ca), or rebuild its initramfs with it",
    ),
    "clock": Cause(
        "clock wrong",
        "by its clock this server's certificate has ended: its clock is wrong",
        "set its hardware clock, or set swarmboot.clock; if the date is right, renew the certificate",
    ),
    "name": Cause(
        "certificate for another name",
        "it asks for this server by a name or address that the certificate does not have, or its clock is far behind",
        "start serve with --name and that name, or give the node an address that the certificate has",
    ),
}
"""Why this server and a node do not speak, by the kind that `Ledger.refused` is told."""

_BY_STATUS = {
    10: ("not trusted", "check which keys the initramfs has (swarmboot.trust) and which signed the release"),
    11: ("signature wrong", "sign the release with this fleet's keys, or rebuild the initramfs with its .pub file"),
    12: ("too few signatures", "have more of the fleet's keys sign the release"),
    13: ("key file unusable", "rebuild the initramfs with a readable .pub file"),
    14: ("older than before", "publish again: the number has to be higher than what the node has seen"),
    15: ("release has ended", "publish the release again, which renews it; check the node's clock"),
    16: ("manifest unreadable", "publish again, or update the initramfs: the release may need a newer swarmboot"),
    17: ("another fleet's release", "point the node at its own fleet's server, or publish for its fleet"),
    18: ("no fleet token", "rebuild the initramfs with this fleet's token (--fleet-token FILE)"),
    20: ("transfer failed", "look at the link between the node and this server"),
    21: ("server unreachable", "check the node's network, swarmboot.server, its CA certificate and its clock"),
    22: ("server lacks something", "run `swarmboot verify` on the site; it may have been pruned while nodes booted"),
    23: ("garbled answer", "look for a proxy between the node and this server"),
    24: ("nothing came in time", "look at the link and the switch; raise swarmboot.timeout if the link is slow"),
    25: ("its id is another's", "power-cycle the node; if it happens again, two machines were cloned with their state"),
    26: ("no fleet token", "rebuild the initramfs with this fleet's token (--fleet-token FILE)"),
    30: ("bytes are wrong", "run `swarmboot verify` on the site"),
    31: ("site is damaged", "run `swarmboot verify` on the site, and publish again"),
    32: ("image is not what was signed", "run `swarmboot verify` on the site; if it is sound, test the node's memory"),
    40: ("setting wrong", "correct the kernel argument"),
    41: ("unknown setting", "correct the kernel argument: `docs/settings.md` lists them all"),
    42: ("setting malformed", "correct the kernel argument"),
    60: ("machine lacks something", "look at the machine"),
    61: ("no room for the images", "give the machine more memory, a smaller release, or a profile with fewer plugins"),
    62: ("address or port in use", "look for two machines with one address, or set another swarmboot.port"),
    63: ("no privilege", "run it as root"),
    64: ("program missing", "run `swarmboot hook install` again and rebuild the initramfs"),
    66: ("root lost", "what is left of its images is nowhere any more: publish them again, and reboot the machine"),
}  # fmt: skip


def cause_of(boot: Boot, how: Standing, site: Site, *, now_s: float) -> Cause:
    """Return the likely cause of how a boot stands; nothing for one that is well."""
    case = Case(boot, how, site, now_s)
    if how.state is State.FAILED:
        return _channel(case) if boot.missed else _failed(boot)
    if how.state is State.GONE:
        return _gone(case)
    if how.state is State.STUCK:
        return _STUCK[how.why](case)
    return _queued(boot) if boot.phase == "queue" else _remarkable(boot)


def _remarkable(boot: Boot) -> Cause:
    """Return what is to be known of a boot that goes on, or has gone well."""
    if boot.stage0:
        runs = f" (it runs {boot.kernel})" if boot.kernel else ""
        return Cause(
            "another kernel",
            f"it booted another kernel or initramfs than it was given{runs}: {boot.stage0}",
            "reboot it; if it comes again, see what its firmware or a second DHCP server gives it",
        )
    if boot.bans:
        return _banned(boot)
    if boot.is_starving:
        return Cause("neighbours send nothing", "its neighbours send it nothing, so this server does", _CABLES)
    return NOTHING


_CABLES = "look at the switch between it and its neighbours, and whether a firewall drops their ports"


def _banned(boot: Boot) -> Cause:
    who = f"neighbour{'s' if len(boot.bans) > 1 else ''} {', '.join(boot.bans)}"
    pieces = (
        f"{boot.hash_failures} corrupt piece{'' if boot.hash_failures == 1 else 's'}"
        if boot.hash_failures
        else "corrupt blocks"
    )
    return Cause(
        "corrupt neighbour",
        f"{who} sent it {pieces} and {'were' if len(boot.bans) > 1 else 'was'} banned; nothing corrupt was kept",
        "test that neighbour's memory and disk; if it is sound, somebody on the LAN lies",
    )


def _failed(boot: Boot) -> Cause:
    fault = boot.faults[-1] if boot.faults else None
    if fault is None:
        return Cause("failed", "it failed and did not say why", "look at its console")
    kind, advice = _BY_STATUS.get(fault.exit_status, ("failed", "look at its console and at what it says here"))
    status = f" (exit status {fault.exit_status})" if fault.exit_status else ""
    return Cause(kind, f"{fault.text or kind}{status}", advice)


def _gone(case: Case) -> Cause:
    boot, ago = case.boot, _ago(case.now_s - case.boot.heard_s)
    if boot.outcome is Outcome.LEFT:
        return Cause("left", f"it said that it goes, {ago} ago: it was stopped, or shut down", "")
    return Cause(
        "silent",
        f"it was up, and has been silent for {ago}: switched off, cut off, or crashed",
        "ping it; look at its console",
    )


def _queued(boot: Boot) -> Cause:
    count = f"{boot.ahead} machine{'' if boot.ahead == 1 else 's'}" if boot.ahead else "the machines that load now"
    verb = "is" if boot.ahead == 1 else "are"
    return Cause("waits for stage 0", f"waits for stage 0: {count} {verb} before it", "nothing: its turn comes")


def _slow(case: Case) -> Cause:
    boot = case.boot
    if boot.phase == "queue":
        waits = _queued(boot)
        return Cause(
            waits.kind, f"{waits.text}; that is long", "see what keeps the machines before it: `swarmboot status`"
        )
    special = _remarkable(boot)
    took, limit = _ago(case.now_s - case.how.since_s), _ago(case.how.limit_s)
    slow = f"{boot.phase} takes {took}, and this fleet's bound is {limit}"
    if special.kind:
        return Cause(special.kind, f"{special.text}; {slow}", special.advice)
    return Cause("slow", slow, "look at its link speed and its switch port; compare it with its rack")


def _idle(case: Case) -> Cause:
    boot = case.boot
    if boot.bans:
        return _banned(boot)
    ago = _ago(case.now_s - boot.gained_s)
    starving = ", and its neighbours send it nothing" if boot.is_starving else ""
    return Cause("no piece comes", f"it announces, but no piece has come for {ago}{starving}", _CABLES)


def _silent(case: Case) -> Cause:
    ago = _ago(case.now_s - case.boot.heard_s)
    where = "while it waited for stage 0" if case.boot.phase == "queue" else f"in the middle of {case.boot.phase}"
    return Cause(
        "silent",
        f"no sound for {ago}, {where}: switched off, cut off, or crashed",
        "look at its console and its link; power-cycle it",
    )


def _unasked(case: Case) -> Cause:
    ago = _ago(case.now_s - case.how.since_s)
    return Cause(
        "never asked",
        f"it was told by DHCP what to boot {ago} ago, and never asked for its script: TFTP does not pass, or its "
        "firmware does not start what it loads",
        "look at its console; let UDP port 69 and TCP port 80 pass; docs/stage0.md says which firmware boots",
    )


def _unheard(case: Case) -> Cause:
    ago = _ago(case.now_s - case.how.since_s)
    return Cause(
        "never announced",
        f"it loaded kernel and initramfs {ago} ago and never announced itself: the kernel does not run, has no driver "
        "for its card, or there is no hook in its initramfs",
        "look at its console; publish a kernel with its card's driver; `swarmboot hook install` and rebuild",
    )


def _dark(case: Case) -> Cause:
    ago = _ago(case.now_s - case.how.since_s)
    return Cause(
        "dark after hand-off",
        f"no sound for {ago} after hand-off: it panicked, or its system does not come up or has no network",
        "look at its console; boot the release in a virtual machine; `swarmboot logs` shows what it still said",
    )


def _no_script(case: Case) -> Cause:
    text = f"it asked what to boot and was refused: {case.boot.faults[-1].text}"
    return Cause("no script", text, "publish what it lacks")


def _channel(case: Case) -> Cause:
    missed, known = case.boot.missed, sorted(case.site.channels)
    meant = nearest(missed, known) or "one of these"
    return Cause(
        "no such channel",
        f"asked for channel {missed}; this site has {', '.join(known) or 'no channel at all'}",
        f"set swarmboot.channel to {meant}, or publish with --channel {missed}",
    )


def _turned_away(case: Case) -> Cause:
    refused = case.boot.refused
    return REFUSALS.get(refused, Cause("turned away", refused, "look at its console"))


def _ago(seconds: float) -> str:
    """Return whole seconds as a person reads them."""
    return f"{max(0.0, seconds):.0f} s" if seconds < 120 else format_duration(seconds)


_STUCK: Mapping[Why, Callable[[Case], Cause]] = {
    Why.CHANNEL: _channel,
    Why.TURNED_AWAY: _turned_away,
    Why.NO_SCRIPT: _no_script,
    Why.SILENT: _silent,
    Why.IDLE: _idle,
    Why.SLOW: _slow,
    Why.UNASKED: _unasked,
    Why.UNHEARD: _unheard,
    Why.DARK: _dark,
}
