"""Which addresses need no router, as the kernel tells it: a network namespace with one card and a default route."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

NETWORK = """
ip link set lo up
ip link add rack type veth peer name other
ip link set other up
ip address add 10.98.0.1/24 dev rack
ip link set rack up
ip route add default via 10.98.0.254
exec "$@"
"""
ASK = "import sys; from leecher.neighbour.discovery import is_on_link; print(*filter(is_on_link, sys.argv[1:]))"


def test_only_addresses_of_this_machine_and_its_links_need_no_router() -> None:
    near = ["127.0.0.1", "10.98.0.1", "10.98.0.7", "10.98.0.254"]
    far = ["10.98.1.7", "192.0.2.1", "10.98.0.255", "239.192.84.70", "255.255.255.255", "fd00::7"]
    command = ["unshare", "--net", "sh", "-ec", NETWORK, "sh", sys.executable, "-c", ASK, *near, *far]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == near
