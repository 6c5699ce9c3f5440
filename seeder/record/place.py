"""Where a seeder keeps its state, and what it leaves there for commands on the same machine: where it can be asked."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swarmboot.host.files import write_whole
from swarmboot.host.home import user_folder
from swarmboot.text.addresses import host_port

_FILE_NAME = "serving.json"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what such a listener can be asked at from here


@dataclass(frozen=True, slots=True)
class Serving:
    """How a running seeder can be asked: its address and its authority's certificate, empty for a public one."""

    server: str
    ca: str = ""


def state_folder() -> Path:
    """Return where the seeder keeps its authority and its history.

    That is what systemd gives a service ($STATE_DIRECTORY, systemd.exec(5)), /var/lib/swarmboot for root, else the
    user's state folder (XDG).
    """
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/swarmboot")
    return user_folder("XDG_STATE_HOME", ".local/state", option="--state DIR") / "swarmboot"


def leave_address(folder: Path, host: str, port: int, ca: Path | None) -> None:
    """Leave word in the state folder of where this seeder can be asked; one that cannot be written to gets none."""
    values = {"server": f"https://{host_port(_ANY.get(host, host), port)}", "ca": str(ca.absolute()) if ca else ""}
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder / _FILE_NAME, json.dumps(values).encode(), mode=0o600)


def read_address(folder: Path) -> Serving | None:
    """Return where the seeder of a state folder can be asked, None if it has left no word."""
    try:
        values = json.loads((folder / _FILE_NAME).read_bytes())
        return Serving(str(values["server"]), str(values.get("ca", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
