"""How long machines wait for their first offer of an address: `python -m tests.bench.first_offers` (root).

A real `swarmboot serve --pxe` on a bridge in a namespace of its own; so many machines that were never seen ask one
after the other, where nobody stands in the range without a lease, and where somebody does.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from tests.system.bare.dhcp import FILES, PXE_CLASS, ask
from tests.system.bare.rack import PXE, bare_rack, mac, other_network, tiny_release_site
from tests.system.vm.programs import run


def offers_s(machines: int, *, is_range_ours: bool) -> float:
    """Return how long it takes until each of so many machines has had its first offer."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rack = stack.enter_context(bare_rack(work / "rack"))
        (work / "ipxe").mkdir()
        (work / "ipxe" / FILES[0]).write_bytes(b"iPXE")
        inside = stack.enter_context(other_network(rack))
        if not is_range_ours:
            run(*inside, "ip", "address", "add", "10.98.0.150/24", "dev", "eth0")
        rack.serve(tiny_release_site(work), *PXE, "--ipxe", str(work / "ipxe"))
        began_s = time.monotonic()
        for number in range(1, machines + 1):
            assert ask(inside, mac(number), arch=0, vendor=PXE_CLASS) is not None
        return time.monotonic() - began_s


@click.command()
@click.option("--machines", default=8, show_default=True)
def main(machines: int) -> None:
    """Print both."""
    for is_range_ours, words in ((False, "with dnsmasq's ping"), (True, "without")):
        print(f"{machines} first offers {words}: {offers_s(machines, is_range_ours=is_range_ours):.1f} s", flush=True)


if __name__ == "__main__":
    main()
