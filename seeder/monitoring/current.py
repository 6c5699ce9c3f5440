"""What is so of a seeder at the moment of a scrape: read then, and kept nowhere.

Figures only, no node by name: the number of series does not grow with the fleet. Ends of certificates, manifests and
channels are Unix times, so that a rule may say when to worry. It will not decide who may read it.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from seeder.http.crowd import Crowd
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.site.catalogue import Catalogue
from seeder.site.lifetimes import Lifetime
from seeder.stage0.app import Stage0App
from swarmboot import __version__

STATES = ("starting", "fetching", "starving", "complete")
"""What a node that announces itself is doing; `starving` is one whose neighbours give it nothing."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What other rooms have counted since the seeder was started, as of now."""

    sent_bytes: int = 0
    refused_handshakes: int = 0
    left_out_lines: int = 0
    refused_proofs: int = 0


@dataclass(slots=True, eq=False)
class Current(Collector):
    """Reads a running seeder. `addressless` says for how many machines DHCP has no address, and how often it had none.

    `ends` are put there before each scrape: reading them touches files."""

    registry: Registry
    catalogue: Catalogue
    crowd: Crowd
    uplink_bytes_per_s: float
    counted: Callable[[], Counted]
    stage0: Stage0App | None = None
    addressless: Callable[[], tuple[int, int]] = lambda: (0, 0)
    ends: tuple[Lifetime, ...] = ()

    @property
    def stage0_sent_bytes(self) -> int:
        """Return how much has been sent of stage 0 over plain HTTP."""
        return self.stage0.sent_bytes if self.stage0 else 0

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        yield _gauge("build_info", "Always 1; the version that runs.", [({"version": __version__}, 1)])
        yield from self._fleet()
        yield from self._sent()
        yield from self._stage0()
        yield from self._releases()

    def _fleet(self) -> Iterator[Metric]:
        nodes, registry = self.registry.nodes.values(), self.registry
        states = Tally(dict.fromkeys(STATES, 0))
        states.update(map(_state, nodes))
        yield _gauge(
            "nodes", "Nodes that announce themselves, by state.", [({"state": k}, n) for k, n in states.items()]
        )
        text = "Bytes that the nodes known now have received since each began, by source."
        received = {
            "neighbours": sum(node.from_neighbours_bytes for node in nodes),
            "origin": sum(node.from_origin_bytes for node in nodes),
        }
        yield _gauge("nodes_received_bytes", text, [({"source": name}, count) for name, count in received.items()])
        yield _gauge(
            "nodes_hidden",
            "Nodes behind a proxy or NAT, whom nobody can dial.",
            _one(registry.standing.hidden_at.total()),
        )
        yield _gauge(
            "nodes_without_credit", "Nodes that have fetched no lease.", _one(len(registry.standing.strangers))
        )
        yield _gauge("torrents", "Torrents that the tracker knows.", _one(len(registry.torrents)))
        yield _gauge("leases_open", "Leases whose bytes are on their way.", _one(registry.open_leases))
        yield _counter("leases_granted", "Leases that were granted.", _one(registry.granted))

    def _sent(self) -> Iterator[Metric]:
        counted = self.counted()
        sent = [
            ({"service": "https"}, counted.sent_bytes),
            ({"service": "stage0"}, self.stage0_sent_bytes),
        ]
        yield _counter("sent_bytes", "Bytes of files sent, by the service that sent them.", sent)
        text = "What boots may take of this server's link, in bytes a second."
        yield _gauge("uplink_limit_bytes_per_second", text, _one(self.uplink_bytes_per_s))
        yield _gauge("connections", "Connections that are open.", _one(len(self.crowd)))
        yield _counter(
            "connections_cut_off", "Connections that were cut off, for room or lateness.", _one(self.crowd.cut_off)
        )
        text = "TLS handshakes in which the client did not accept this server's certificate."
        yield _counter("handshakes_refused", text, _one(counted.refused_handshakes))
        text = "Requests that do not prove the fleet token, where one is asked for."
        yield _counter("proofs_refused", text, _one(counted.refused_proofs))
        yield _counter("log_lines_left_out", "Lines that the log has no room for.", _one(counted.left_out_lines))

    def _stage0(self) -> Iterator[Metric]:
        if self.stage0 is None:
            return
        releases = self.stage0.releases
        machines = [({"state": "waiting"}, releases.waiting), ({"state": "loading"}, releases.loading)]
        yield _gauge("stage0_machines", "Bare machines that wait for their turn, or load.", machines)
        yield _counter(
            "stage0_turns", "Turns to load a kernel and an initramfs that were given.", _one(self.stage0.machines)
        )
        yield _gauge("stage0_neighbours", "Booted nodes that can serve stage 0.", _one(releases.neighbours))
        machines_without, times = self.addressless()
        text = "Machines that asked within five minutes and for which DHCP has no address left."
        yield _gauge("stage0_machines_without_address", text, _one(machines_without))
        yield _counter("stage0_turned_away", "Times that DHCP had no address left for a machine.", _one(times))

    def _releases(self) -> Iterator[Metric]:
        yield _gauge("manifest_newest", "The highest manifest number of the site.", _one(self.catalogue.newest))
        ends = [({"kind": each.kind, "name": each.name}, each.ends_s) for each in self.ends if not each.is_endless]
        yield _gauge(
            "end_timestamp_seconds", "When a certificate, manifest or channel pointer ends, in Unix time.", ends
        )
        begins = [({"kind": each.kind, "name": each.name}, each.life_s) for each in self.ends if not each.is_endless]
        yield _gauge("life_seconds", "How long that lasts in all, from its beginning to its end.", begins)


_Samples = Iterable[tuple[dict[str, str], float]]


def _one(value: float) -> _Samples:
    return [({}, value)]


def _gauge(name: str, text: str, samples: _Samples) -> Metric:
    return _filled(GaugeMetricFamily(f"swarmboot_{name}", text), samples)


def _counter(name: str, text: str, samples: _Samples) -> Metric:
    family = CounterMetricFamily(f"swarmboot_{name}", text)
    return _filled(family, samples, suffix="_total")


def _filled(family: Metric, samples: _Samples, *, suffix: str = "") -> Metric:
    for labels, value in samples:
        family.add_sample(family.name + suffix, labels, value)
    return family


def _state(node: Node) -> str:
    if node.is_complete:
        return "complete"
    if node.is_starving:
        return "starving"
    return "starting" if node.is_starting else "fetching"
