"""The gate watches itself: what it leaves out, what it lists, and what a unit test may not do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.support.tree import TREE

CONFTEST = TREE / "tests" / "conftest.py"
EITHER = "tests/system/stage0"

pytest_plugins = ["pytester"]

SUITE = """
    import pytest

    def test_anywhere(): pass

    @pytest.mark.root
    def test_as_root(): pass

    @pytest.mark.root
    def test_as_root_too(): pass

    @pytest.mark.needs("mksquashfs")
    def test_with_squashfs(): pass
"""


def run_suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *, uid: int) -> list[str]:
    project = pytester.path / "project"
    (project / "tests").mkdir(parents=True)
    shutil.copy(CONFTEST, project / "tests" / "conftest.py")
    shutil.copytree(TREE / ".ci", project / ".ci")
    (project / "tests" / "test_suite.py").write_text("\n".join(line[4:] for line in SUITE.splitlines()))
    (project / "pytest.ini").write_text("[pytest]\nmarkers =\n    root\n    needs\n")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", str(project))
    assert result.ret == 0
    return result.outlines


def test_without_root_the_run_says_which_tests_it_left_out(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_named: "/bin/true")
    lines = run_suite(pytester, monkeypatch, uid=1000)
    assert "left out 2 tests: they need root" in lines
    assert "2 passed, 2 skipped" in lines[-1]


def test_without_a_program_the_run_names_its_debian_package(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_named: None)
    lines = run_suite(pytester, monkeypatch, uid=0)
    assert "left out 1 test: they need squashfs-tools, not installed here" in lines


def test_with_everything_at_hand_no_test_is_left_out(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_named: "/bin/true")
    lines = run_suite(pytester, monkeypatch, uid=0)
    assert not [line for line in lines if line.startswith("left out")]
    assert "4 passed" in lines[-1]


def test_make_help_names_every_target() -> None:
    makefile = (TREE / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    shown = subprocess.run(
        ["make", "--no-print-directory", "-C", str(TREE)], capture_output=True, text=True, check=True
    )
    assert {line.split()[1] for line in shown.stdout.splitlines()} == set(phony.split())


def test_make_test_runs_every_test_once() -> None:
    named = re.findall(r"\btests/[\w/.]+", (TREE / ".ci/tests").read_text())
    for path in (TREE / "tests").rglob("test_*.py"):
        by = [each for each in named if path.relative_to(TREE).is_relative_to(each)]
        assert len(by) == 1, f"{path} is run by {by}"


def lane_programs(tmp_path: Path, first: str) -> dict[str, str]:
    """Return an environment whose pytest prints what it is given, does what `first` says and passes."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "ran $*"\n{first}\necho "== 3 passed in 1s =="\n')
    python.chmod(0o755)
    return os.environ | {"VENV": str(tmp_path)}


def run_lanes(tmp_path: Path, failing: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/tests with a stand-in for pytest that fails with the tests of one folder."""
    fails = f"""
        case "$*" in
            *{failing}*) echo "FAILED {failing}/test_it.py::test_it - why"; echo "== 1 failed in 2s =="; exit 1 ;;
        esac
    """
    environment = lane_programs(tmp_path, fails)
    return subprocess.run([TREE / ".ci/tests"], env=environment, capture_output=True, text=True, timeout=60)


def test_the_last_lines_of_a_run_say_what_failed_in_either_lane(tmp_path: Path) -> None:
    run = run_lanes(tmp_path, "tests/sim")
    assert run.returncode == 1
    assert run.stdout.splitlines()[-5:] == [
        "machines: == 3 passed in 1s ==",
        "measured: == 3 passed in 1s ==",
        "others: FAILED tests/sim/test_it.py::test_it - why",
        "others: == 1 failed in 2s ==",
        "quick: == 3 passed in 1s ==",
    ]


def test_a_quick_test_that_fails_ends_the_run_before_the_slow_ones(tmp_path: Path) -> None:
    run = run_lanes(tmp_path, "tests/unit")
    assert run.returncode == 1
    assert "tests/integration" not in run.stdout
    assert run.stdout.splitlines()[-2:] == [
        "quick: FAILED tests/unit/test_it.py::test_it - why",
        "quick: == 1 failed in 2s ==",
    ]


def test_a_run_whose_lanes_pass_passes(tmp_path: Path) -> None:
    run = run_lanes(tmp_path, "nothing")
    assert run.returncode == 0
    lanes = ("machines", "measured", "others", "quick")
    assert run.stdout.splitlines()[-4:] == [f"{lane}: == 3 passed in 1s ==" for lane in lanes]


def test_what_either_lane_may_run_is_run_once(tmp_path: Path) -> None:
    run = run_lanes(tmp_path, "nothing")
    ran = re.findall(r"^either: ran .* (\S+)$", run.stdout, re.MULTILINE)
    assert sorted(ran) == sorted(str(path.relative_to(TREE)) for path in (TREE / EITHER).glob("test_*.py"))


def test_a_failure_in_what_either_lane_may_run_is_named_and_the_rest_of_it_runs(tmp_path: Path) -> None:
    run = run_lanes(tmp_path, f"{EITHER}/test_disk.py")
    assert run.returncode == 1
    assert f"either: FAILED {EITHER}/test_disk.py/test_it.py::test_it - why" in run.stdout.splitlines()[-20:]
    assert run.stdout.count("either: ran") == len([*(TREE / EITHER).glob("test_*.py")])


def test_a_run_that_is_interrupted_takes_no_further_file(tmp_path: Path) -> None:
    waits = "trap 'exit 2' INT; echo waiting; for tenth in $(seq 300); do sleep 0.1; done"
    environment = lane_programs(tmp_path, f'case "$*" in *{EITHER}*) {waits} ;; esac')
    with subprocess.Popen([TREE / ".ci/tests"], env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        waiting = next(line for line in run.stdout if "waiting" in line)
        run.send_signal(signal.SIGINT)
        rest = run.stdout.read()
    assert run.returncode == 130
    assert waiting == "either: waiting\n"
    assert rest.count("either: ran") <= 1
    assert "measured: ran" not in rest


def test_every_pinned_dependency_is_a_name_and_a_version() -> None:
    lines = (TREE / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_a_unit_test_that_connects_fails() -> None:
    with socket.socket() as plug, pytest.raises(RuntimeError, match="belongs in tests/integration"):
        plug.connect(("127.0.0.1", 9))


def test_a_unit_test_that_sleeps_fails() -> None:
    with pytest.raises(RuntimeError, match="belongs in tests/integration"):
        time.sleep(0)


def test_what_is_installed_takes_the_oldest_python_that_this_project_takes() -> None:
    """Debian 12 has 3.11.2: a pin that wants a later 3.11 leaves its users without an environment."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    pinned = {line.partition("==")[0].lower() for line in (TREE / "constraints.txt").read_text().splitlines()}
    wanted = {each.name: each.metadata["Requires-Python"] or "" for each in distributions()}
    assert len(pinned & {name.lower() for name in wanted}) > 40
    assert [name for name, versions in wanted.items() if not SpecifierSet(versions).contains(oldest)] == []
