"""A real Prometheus scrapes a real seeder over TLS, with the rules and the dashboard that are in docs/monitoring."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.loopback import Fleet, Seeder, asking, booting, build_fleet, build_release, serving
from tests.support.prometheus import Prometheus, prometheus_running

MONITORING = Path(__file__).parents[3] / "docs" / "monitoring"
TOKEN = "0123456789abcdef0123456789abcdef"
_NAME = re.compile(r"\b(?:swarmboot|process)_[a-z0-9_]+")

ALERTS_EXPECTED = """
rule_files: ["{rules}"]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'up{{job="swarmboot",instance="s"}}', values: '1x120'}}
      - {{series: 'swarmboot_boots_failed_total{{instance="s",status="11"}}', values: '0x114 1x6'}}
      - {{series: 'swarmboot_boots_failed_total{{instance="s",status="23"}}', values: '0x120'}}
      - {{series: 'swarmboot_end_timestamp_seconds{{instance="s",kind="manifest",name="stable"}}', values: '20000x120'}}
      - {{series: 'swarmboot_life_seconds{{instance="s",kind="manifest",name="stable"}}', values: '60000x120'}}
      - {{series: 'swarmboot_stage0_machines_without_address{{instance="s"}}', values: '0x110 2x10'}}
      - {{series: 'swarmboot_stage0_machines_without_address{{instance="other"}}', values: '2x110 0x10'}}
      - {{series: 'swarmboot_end_timestamp_seconds{{instance="s",kind="authority",name=""}}', values: '90000x120'}}
      - {{series: 'swarmboot_life_seconds{{instance="s",kind="authority",name=""}}', values: '100000x120'}}
    promql_expr_test:
      - expr: sort(ALERTS{{alertstate="firing"}})
        eval_time: 118m
        exp_samples:
          - labels: >-
              ALERTS{{alertname="SwarmbootBootsFail",alertstate="firing",instance="s",severity="warning",status="11"}}
            value: 1
          - labels: >-
              ALERTS{{alertname="SwarmbootEndsSoon",alertstate="firing",instance="s",kind="manifest",name="stable",severity="warning"}}
            value: 1
          - labels: >-
              ALERTS{{alertname="SwarmbootNoAddressLeft",alertstate="firing",instance="s",severity="critical"}}
            value: 1
"""

pytestmark = pytest.mark.needs("prometheus", "promtool")


@dataclass(frozen=True, slots=True)
class Watched:
    """A seeder from which one node has booted, one was refused, and the Prometheus that looks at it."""

    seeder: Seeder
    prometheus: Prometheus
    metrics_port: int
    asking: list[str | Path]


def get(seeder: Seeder, path: str, **headers: str) -> tuple[str, str]:
    """Return an answer's text and media type."""
    context = ssl.create_default_context(cafile=str(seeder.ca))
    request = urllib.request.Request(seeder.address + path, headers=headers)
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        return answer.read().decode(), answer.headers["content-type"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("monitoring")
    fleet = build_fleet(folder / "fleet", build_release(folder / "release", size_bytes=900_000))
    token = folder / "ui.token"
    token.touch(mode=0o600)
    token.write_text(f"{TOKEN}\n")
    with serving(fleet, "--ui-token", str(token)) as seeder:
        boot_one(fleet, seeder, folder, 1)
        boot_one(fleet, seeder, folder, 2, "--channel", "edgy", "--timeout", "4s")
        configuration = (MONITORING / "prometheus.yml").read_text()
        configuration = configuration.replace("boot.example:8470", seeder.address.removeprefix("https://"))
        configuration = configuration.replace("ca.pem", str(seeder.ca)).replace("ui.token", str(token))
        configuration = configuration.replace("swarmboot.rules.yml", str(MONITORING / "swarmboot.rules.yml"))
        configuration = configuration.replace("refresh_interval: 10s", "refresh_interval: 1s")
        with socket.create_server(("127.0.0.4", 0)) as trial:
            port = trial.getsockname()[1]
        brisk = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        with (
            booting(folder, 3, *asking(seeder, fleet), "--linger", "--rack", "r7", "--metrics-port", str(port)),
            prometheus_running(folder / "prometheus", brisk + configuration) as prometheus,
        ):
            prometheus.wait_for_value('up{job="swarmboot"}', 1)
            yield Watched(seeder, prometheus, port, asking(seeder, fleet))


def boot_one(fleet: Fleet, seeder: Seeder, folder: Path, number: int, *arguments: str) -> None:
    with booting(folder, number, *asking(seeder, fleet), *arguments) as node:
        node.end()


def test_prometheus_finds_what_has_happened(watched: Watched) -> None:
    prometheus = watched.prometheus
    prometheus.wait_for_value('swarmboot_reports_total{outcome="images verified"}', 2)
    prometheus.wait_for_value('swarmboot_reports_total{outcome="failed"}', 1)
    prometheus.wait_for_value("sum(swarmboot_boots_failed_total)", 1)
    prometheus.wait_for_value('swarmboot_boot_phase_seconds_count{phase="images"}', 2)
    prometheus.wait_for_value('swarmboot_boot_received_bytes_total{source="origin"} > 900000 > bool 0', 1)
    assert 1.9 < (prometheus.value("swarmboot_copies_sent_total") or 0) < 2.5
    assert (prometheus.value('swarmboot_requests_refused_total{reason="channel"}') or 0) > 0
    assert (prometheus.value('swarmboot_end_timestamp_seconds{kind="authority"} - time()') or 0) > 3e8
    assert (prometheus.value('swarmboot_end_timestamp_seconds{kind="certificate"} - time()') or 0) > 0
    assert (prometheus.value('swarmboot_end_timestamp_seconds{kind="manifest",name="stable"} - time()') or 0) > 0
    assert (prometheus.value("process_resident_memory_bytes") or 0) > 1e6


def test_every_figure_has_help_and_a_type_and_passes_promtool(watched: Watched) -> None:
    text, media_type = get(watched.seeder, "/metrics")
    assert media_type.startswith("text/plain; version=")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    ours = [line for line in (checked.stdout + checked.stderr).splitlines() if "swarmboot" in line]
    assert (checked.returncode in (0, 3), ours) == (True, []), checked.stderr


def test_nodes_are_found_and_asked_themselves(watched: Watched) -> None:
    node = 'job="swarmboot-nodes",rack="r7"'
    watched.prometheus.wait_for_value(f"up{{{node}}}", 1)
    watched.prometheus.wait_for_value(f"swarmboot_complete{{{node}}}", 1)
    (group,) = json.loads(get(watched.seeder, "/sd/nodes")[0])
    assert group["targets"] == [f"127.0.0.4:{watched.metrics_port}"]
    with urllib.request.urlopen(f"http://{group['targets'][0]}/metrics", timeout=10) as answer:
        text = answer.read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_port_for_metrics_that_is_taken_is_said_once_and_the_boot_goes_on(watched: Watched, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.6", 0)) as taken:
        port = taken.getsockname()[1]
        with booting(tmp_path, 5, *watched.asking, "--metrics-port", str(port)) as node:
            status, said = node.end()
    assert status == 0
    assert said.count(f"swarmboot.metrics_port={port} cannot be had: Address already in use; taking port") == 1


def test_another_format_is_given_to_who_asks_for_it(watched: Watched) -> None:
    text, media_type = get(watched.seeder, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_the_rules_are_right_and_loaded(watched: Watched) -> None:
    rules = MONITORING / "swarmboot.rules.yml"
    checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    loaded = watched.prometheus.ask("rules")["groups"][0]["rules"]
    assert len(loaded) == rules.read_text().count("- alert:")
    assert all(rule["health"] in ("ok", "unknown") for rule in loaded), loaded


def test_rules_fire_on_a_failure_and_on_an_end_that_is_near_and_on_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(ALERTS_EXPECTED.format(rules=MONITORING / "swarmboot.rules.yml"))
    checked = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_rules_and_dashboard_ask_for_figures_that_there_are(watched: Watched) -> None:
    given = set(watched.prometheus.ask("label/__name__/values"))
    rules = (MONITORING / "swarmboot.rules.yml").read_text()
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) > 20
    of_stage0 = {name for name in _NAME.findall(rules + " ".join(asked)) if name.startswith("swarmboot_stage0_")}
    wanted = set(_NAME.findall(" ".join(asked))) | set(_NAME.findall(re.sub(r"(?m)^#.*", "", rules)))
    assert wanted - given - of_stage0 - {"process_resident_memory_bytes"} == set()
    for expression in asked:
        watched.prometheus.ask("query", query=expression.replace("$instance", ".*"))


def test_a_stranger_is_refused_and_the_token_is_believed(watched: Watched) -> None:
    assert "swarmboot_nodes" in get(watched.seeder, "/metrics", Authorization=f"Bearer {TOKEN}")[0]
