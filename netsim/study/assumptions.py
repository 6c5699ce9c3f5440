"""What a simulation takes for granted of a fleet, in words: under the sentence, and on a plot."""

from __future__ import annotations

from netsim.scenario.scenario import Scenario
from netsim.scenario.spread import Shape, Spread
from swarmboot.text.units import format_duration, format_rate, format_size

_MACHINE = ("firmware", "dhcp", "loader", "kernel", "leecher_start", "hand_off", "services")


def assumptions(scenario: Scenario) -> str:
    """Return what was assumed, in a few sentences; each part is a key of a scenario."""
    release, network, phases = scenario.release, scenario.network, scenario.phases
    sizes = f"{format_size(release.image_bytes)} of images"
    if release.stage0_bytes:
        sizes += (
            f", a kernel of {format_size(release.kernel_bytes)}, an initramfs of {format_size(release.initramfs_bytes)}"
        )
    links = f"links of {format_rate(network.node_bytes_per_s)}, the server's {format_rate(network.server_bytes_per_s)}"
    if network.racks > 1:
        uplink = network.rack_uplink_bytes_per_s
        links += f", {network.racks} racks" + (f" behind {format_rate(uplink)}" if uplink is not None else "")
    took = ", ".join(f"{name.replace('_', ' ')} {in_words(phases[name])}" for name in _MACHINE)
    parts = [f"{sizes}; {links}", f"Power on {in_words(phases['power_on'])}; {took}"]
    if release.stage0_bytes and scenario.admission.is_early:
        kept = "keeps its initramfs (Linux 6.8)" if scenario.admission.is_kept else "keeps nothing"
        parts.append(f"A kernel {kept}, so a node that serves stage 0 fetches {_fetched(scenario)} again")
    return ". ".join(["Assumed: " + parts[0], *parts[1:]]) + "."


def _fetched(scenario: Scenario) -> str:
    return "the kernel" if scenario.admission.is_kept else "both"


def in_words(spread: Spread) -> str:
    """Return a spread of durations as a person says it."""
    first, second = format_duration(spread.first), format_duration(spread.second)
    match spread.shape:
        case Shape.FIXED:
            return first
        case Shape.UNIFORM:
            return f"{first} to {second}"
        case Shape.NORMAL:
            return f"{first} ± {second}"
        case Shape.LOGNORMAL:
            return f"{first} in the median"
        case Shape.EXPONENTIAL:
            return f"{first} on average"
        case Shape.EVERY:
            return f"every {first}"
