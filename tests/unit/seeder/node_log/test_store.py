"""What nodes say is kept by boot, within bounds, the last lines always."""

from __future__ import annotations

import json
from pathlib import Path

from seeder.node_log.loki import Heard, push_body
from seeder.node_log.message import Line
from seeder.node_log.store import Store, lines_of, written


def test_the_last_lines_of_a_boot_that_says_much_are_kept_within_the_bound(tmp_path: Path) -> None:
    store = Store(tmp_path, file_bytes=1000)
    for number in range(500):
        store.append("boot", [f"line {number:04}"])
    lines = store.read("boot")
    assert lines[-1] == "line 0499"
    assert lines == sorted(lines)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000


def test_of_more_boots_than_may_be_kept_the_oldest_go(tmp_path: Path) -> None:
    store = Store(tmp_path, files=5)
    for number in range(50):
        store.append(f"boot{number}", ["said"])
    assert len(list(tmp_path.iterdir())) <= 10
    assert store.read("boot49") == ["said"]


def test_of_files_that_take_more_than_they_may_together_the_oldest_go(tmp_path: Path) -> None:
    store = Store(tmp_path, total_bytes=8000)
    for number in range(50):
        store.append(f"boot{number}", ["x" * 499])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 8000 + 8000 // 8 + 500
    assert store.read("boot49") == ["x" * 499]


def test_what_netconsole_repeats_of_a_line_that_was_handed_in_is_left_out(tmp_path: Path) -> None:
    store, line = Store(tmp_path), Line("eth0: link up")
    store.append("boot", [written(Line("[    1.500000] eth0: link up"), source="netconsole", now_unix_s=1.0)])
    store.append("boot", [written(Line("Kernel panic - not syncing"), source="netconsole", now_unix_s=2.0)])
    store.append("boot", [written(line, source="kernel", now_unix_s=1.5)])
    assert [each.split(" ", 1)[1] for each in lines_of(store, ["boot"])] == [
        "kernel info eth0: link up",
        "netconsole info Kernel panic - not syncing",
    ]


def test_lines_of_one_moment_stay_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append("boot", [written(Line(text), source="kernel", now_unix_s=1.0) for text in ("b", "c", "a")])
    assert [each[-1] for each in lines_of(store, ["boot"])] == ["b", "c", "a"]


def test_no_key_leaves_the_folder(tmp_path: Path) -> None:
    Store(tmp_path / "logs").append("../../etc/passwd", ["said"])
    assert [path.parent for path in tmp_path.rglob("*.log")] == [tmp_path / "logs"]


def test_lines_of_a_boot_and_of_its_address_before_come_in_their_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append("boot", [written(Line("second"), source="netconsole", now_unix_s=1_790_000_002)])
    store.append("10.0.3.7", [written(Line("first", 3), source="syslog", now_unix_s=1_790_000_001.5)])
    assert lines_of(store, ["boot", "10.0.3.7", "", "10.0.3.7"]) == [
        "2026-09-21T14:13:21.500Z syslog error first",
        "2026-09-21T14:13:22.000Z netconsole info second",
    ]


def test_a_push_to_loki_has_streams_with_few_labels_and_times_in_nanoseconds() -> None:
    heard = [Heard("b", "node7", "syslog", Line("up", 6), 1.5), Heard("c", "node8", "syslog", Line("down", 3), 2.0)]
    assert json.loads(push_body(heard)) == {
        "streams": [
            {
                "stream": {"job": "swarmboot", "source": "syslog", "level": "info"},
                "values": [["1500000000", "node7: up"]],
            },
            {
                "stream": {"job": "swarmboot", "source": "syslog", "level": "error"},
                "values": [["2000000000", "node8: down"]],
            },
        ]
    }
