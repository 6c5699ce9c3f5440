"""swarmboot itself: `publish` once, `serve` on the server, one leecher on every node, all as programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from netsim.lab.rack.layout import SERVER_ADDRESS
from netsim.lab.rack.namespaces import TOOL_ENVIRONMENT
from netsim.lab.strategies.strategy import NodeProgram
from swarmboot.errors import LabError
from swarmboot.host.programs import run_program
from swarmboot.text.units import format_rate

if TYPE_CHECKING:
    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

PORT = 8443
_HERE = str(Path(__file__).parents[3])
_SEARCH_PATH = os.pathsep.join([_HERE, *(entry for entry in sys.path if entry and entry != _HERE)])
"""A node's runtime image finds its modules without `site`, and so does a node of the lab."""
_PUBLISH_BOUND_S = 600


def run_part(*arguments: str) -> None:
    """Run one of our programs to its end; raise LabError with its last line if it fails."""
    what = f"`{' '.join(arguments[:2])}`"
    command = (sys.executable, "-m", *arguments)
    run_program(command, bound_s=_PUBLISH_BOUND_S, failure=LabError, what=what, environment=TOOL_ENVIRONMENT)


def seeder_command(
    site: Path, state: Path, *, uplink_bytes_per_s: float, listen: str = f"{SERVER_ADDRESS}:{PORT}"
) -> tuple[str, ...]:
    """Return a `swarmboot serve` of a site; more arguments may follow."""
    return (
        sys.executable, "-m", "swarmboot", "serve", str(site), "--listen", listen,
        "--uplink", format_rate(uplink_bytes_per_s), "--state", str(state),
    )  # fmt: skip


def leecher_command(*, server: str, trust: Path, ca: Path, into: Path, rack: str, report: Path) -> tuple[str, ...]:
    """Return a leecher that stays as a neighbour; `report` appears when it has booted. More arguments may follow."""
    return (
        "env", f"PYTHONPATH={_SEARCH_PATH}", sys.executable, "-S", "-m", "leecher", "--server", server,
        "--trust", str(trust), "--ca", str(ca), "--into", str(into), "--rack", rack, "--report", str(report),
        "--linger",
    )  # fmt: skip


class Scatter:
    """Scatter every piece once over HTTPS, swap the rest."""

    tools: ClassVar[dict[str, str]] = {}
    moves_whole_release = True
    server_arguments: ClassVar[tuple[str, ...]] = ()

    def publish_options(self, context: RunContext) -> tuple[str, ...]:
        """Return what `publish` is told besides."""
        del context
        return ()

    def serve(self, context: RunContext) -> None:
        """Publish the release with a key of this run, and start the seeder."""
        keys, site, state = (context.directory / name for name in ("keys", "site", "state"))
        run_part("swarmboot", "keygen", "--out", str(keys))
        run_part(
            "swarmboot",
            "publish",
            "--force",
            str(context.payload.release),
            "--site",
            str(site),
            "--key",
            f"{keys}/swarmboot.key",
            *self.publish_options(context),
        )
        run_part("leecher", "--help")  # leaves its modules compiled, as a node's runtime image has them
        uplink = context.plan.rates.server_bytes_per_s
        command = (*seeder_command(site, state, uplink_bytes_per_s=uplink), *self.server_arguments)
        seeder = context.start_server("seeder", *command)
        context.await_port(seeder, PORT)

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return one leecher, which stays as a neighbour; the node is complete when its report appears."""
        folder = context.node_folder(node)
        report_path = folder.with_name(f"{folder.name}.json")
        return NodeProgram(
            leecher_command(
                server=f"https://{SERVER_ADDRESS}:{PORT}",
                trust=context.directory / "keys" / "swarmboot.pub",
                ca=context.directory / "state" / "ca.pem",
                into=folder,
                rack=node.rack_name,
                report=report_path,
            ),
            done_path=report_path,
            report_path=report_path,
        )
