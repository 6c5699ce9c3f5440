"""A real Prometheus (Debian's package) on a free loopback port, for the tests that ask it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one; its address, and the process."""

    address: str
    process: subprocess.Popen[str]

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}{query}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def value(self, expression: str) -> float | None:
        """Return the one value of an expression now, None while there is none."""
        found = self.ask("query", query=expression)["result"]
        assert len(found) < 2, found
        return float(found[0]["value"][1]) if found else None

    def wait_for_value(self, expression: str, wanted: float) -> None:
        """Wait until an expression has that value."""
        wait_until(f"{expression} is {wanted:g}", lambda: self.value(expression) == wanted, process=self.process)


@contextmanager
def prometheus_running(folder: Path, configuration: str) -> Iterator[Prometheus]:
    """Run Prometheus with its data in `folder` until the context ends."""
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(configuration)
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port = trial.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    running = Prometheus(f"http://127.0.0.1:{port}", process)
    try:
        wait_until("Prometheus is ready", lambda: _is_ready(running.address), process=process)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        time.sleep(0.05)
        return False
