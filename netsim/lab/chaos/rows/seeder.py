"""Rows about the seeder and the nodes' own fate: it dies, comes back, moves; nodes die, come late, are slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsim.lab.chaos.rows.row import Row
from netsim.lab.chaos.verdict import FAULT_FREE
from netsim.lab.rack.layout import NETWORK, PREFIX_LENGTH, SERVER_ADDRESS
from netsim.lab.rack.namespaces import run_tool
from netsim.lab.strategies.swarmboot import PORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsim.lab.chaos.rack import Boot, Rack

_DOWN_S = 1.0
_JOINS = 60
_SERVER_NAME = "seeder.lab"
_OTHER_ADDRESS = "10.77.0.2"
_SLOWNESS = 10.0
_WITH_HOSTS = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')


def _fault_free(rack: Rack) -> None:
    rack.start_seeder()
    rack.start_all()
    rack.finish()


def _killed_at(fraction: float) -> Callable[[Rack], None]:
    def play(rack: Rack) -> None:
        rack.start_seeder("--origin", rack.start_mirror(rack.site, rack.layout.warm[0]))
        rack.start_all()
        rack.until_progress(fraction)
        rack.kill_seeder()
        rack.finish()

    return play


def _gone(rack: Rack) -> None:
    rack.start_seeder()
    rack.warm(rack.layout.warm[0])
    rack.kill_seeder()
    rack.start_all()
    rack.finish()


def _restarted(rack: Rack) -> None:
    rack.start_seeder()
    rack.start_all()
    rack.until_progress(rack.random.uniform(0.2, 0.7))
    rack.kill_seeder()
    rack.pause(_DOWN_S)
    rack.start_seeder()
    rack.finish()


def _moved(rack: Rack) -> None:
    hosts = rack.directory / "hosts"
    hosts.write_text(f"{SERVER_ADDRESS} {_SERVER_NAME}\n")
    rack.start_seeder("--name", _SERVER_NAME)
    rack.start_all(before=(*_WITH_HOSTS, str(hosts)), server=f"https://{_SERVER_NAME}:{PORT}")
    rack.until_progress(rack.random.uniform(0.2, 0.7))
    rack.kill_seeder()
    moves = (
        f"addr del {SERVER_ADDRESS}/{PREFIX_LENGTH} dev eth0",
        f"addr add {_OTHER_ADDRESS}/{PREFIX_LENGTH} brd + dev eth0",
        f"route replace {NETWORK} dev eth0 congctl cubic",
        "route replace 224.0.0.0/4 dev eth0",
    )
    run_tool("ip", "-n", rack.layout.server_netns, "-batch", "-", lines=moves)
    with hosts.open("r+") as file:  # in place: the nodes' mounts are of this very file
        file.write(f"{_OTHER_ADDRESS} {_SERVER_NAME}\n".ljust(len(SERVER_ADDRESS) + len(_SERVER_NAME) + 2))
    rack.start_seeder("--name", _SERVER_NAME, listen=f"{_OTHER_ADDRESS}:{PORT}")
    rack.finish()


def _third_killed(rack: Rack) -> None:
    rack.start_seeder()
    rack.start_all()
    victims = rack.random.sample(rack.boots, max(1, len(rack.boots) // 3))
    for fraction, victim in zip(sorted(rack.random.uniform(0.05, 0.8) for _ in victims), victims, strict=True):
        rack.until_progress(fraction)
        rack.must_be_in_mid_boot(f"the end of {victim.name}")
        rack.kill(victim)
    rack.finish()


def _joiners(rack: Rack) -> None:
    rack.start_seeder()
    rack.begin()
    places = rack.layout.nodes
    present: dict[int, Boot] = {}
    for number in range(_JOINS):
        place = places[number % len(places)]
        before = present.get(place.index)
        if before is not None:
            rack.until(lambda before=before: before.is_settled)  # type: ignore[misc]
            rack.send_away(before)
        present[place.index] = boot = rack.start(place)
        rack.boots.append(boot)
        rack.pause(1.0)
    rack.finish()


def _one_slow(rack: Rack) -> None:
    slow = rack.terms.rate_bytes_per_s / _SLOWNESS
    rack.network.slow_down(rack.random.choice(rack.layout.nodes), slow)
    rack.plain_s = max(rack.plain_s, rack.terms.size_bytes / slow)
    _fault_free(rack)


def _no_multicast(rack: Rack) -> None:
    rack.network.block_multicast()
    _fault_free(rack)


ROWS = (
    Row(FAULT_FREE, "Nothing is wrong; the other rows are compared with it.", _fault_free),
    *(
        Row(
            f"seeder-killed-at-{percent}",
            f"The seeder is killed for good when {percent} % of all bytes are there; a mirror that it named is left.",
            _killed_at(percent / 100),
            guests=1,
            has_mirror=True,
        )
        for percent in (10, 50, 90)
    ),
    Row(
        "seeder-gone",
        "The seeder is dead before the first node starts; one node that has booted is left, found by multicast.",
        _gone,
        guests=1,
    ),
    Row("seeder-restarted", f"The seeder is killed in mid-boot and is back {_DOWN_S:.0f} s later.", _restarted),
    Row(
        "seeder-moved",
        "The seeder, known by a name, is killed in mid-boot; it comes back at another address, and the name follows.",
        _moved,
    ),
    Row("third-killed", "A third of the nodes is killed, one after the other in mid-boot.", _third_killed),
    Row(
        "joiners",
        f"A node joins every second, {_JOINS} times; when all places are taken, the node that has booted there leaves.",
        _joiners,
    ),
    Row("one-slow-node", f"One node's link has a {_SLOWNESS:.0f}th of the rate.", _one_slow),
    Row("no-multicast", "The switches drop multicast.", _no_multicast),
)
