"""Who may read the status page."""

from __future__ import annotations

import pytest

from seeder.monitoring.status import may_read_status, parse_networks
from swarmboot.errors import MalformedSettingError


@pytest.mark.parametrize(
    ("client", "own", "may"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.5", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::1", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("fe80::2%eth0", "fe80::1%eth0", False),
        ("192.168.7.9", "10.0.0.1", True),
        ("192.168.8.9", "10.0.0.1", False),
        ("", "", False),
        ("nonsense", "nonsense", False),
    ],
)
def test_this_machine_and_the_networks_named_read_the_status(client: str, own: str, may: bool) -> None:
    assert may_read_status(client, own, parse_networks(["192.168.7.0/24"])) is may


@pytest.mark.parametrize("text", ["10.0.0.1/24", "everybody", "", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError, match="--status-from"):
        parse_networks([text])
