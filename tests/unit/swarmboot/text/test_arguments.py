"""The kernel command line, taken apart as the kernel does: by Python, and by sh in the driver, which must agree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmboot.text.arguments import kernel_arguments, last_value
from tests.support.shells import drive
from tests.support.tree import DRIVER

CASES: list[tuple[str, list[tuple[str, str | None]]]] = [
    ("", []),
    ("quiet  a=b\tc=\n", [("quiet", None), ("a", "b"), ("c", "")]),
    ('a="2G"', [("a", "2G")]),
    ('"a=2G"', [("a", "2G")]),
    ('a="x  y" b', [("a", "x  y"), ("b", None)]),
    ('"a=x  y" b', [("a", "x  y"), ("b", None)]),
    ('a=x"y z"', [("a", 'x"y z"')]),
    ('a="x"y', [("a", 'x"y')]),
    ('a=x"', [("a", 'x"')]),
    ('a="x y', [("a", "x y")]),
    ('"quiet" a', [("quiet", None), ("a", None)]),
    ('a=""', [("a", "")]),
    ('"a="', [("a", "")]),
    ('a="', [("a", "")]),
    ("a=b=c", [("a", "b=c")]),
    ("=a=b", [("=a", "b")]),
    ("a=1 -- a=2", [("a", "1")]),
    ('a=1 "--" a=2', [("a", "1")]),
    ("a=1 --=x a=2 ---", [("a", "1"), ("--", "x"), ("a", "2"), ("---", None)]),
    ("a=* ? [b]=c", [("a", "*"), ("?", None), ("[b]", "c")]),
    ("a=\\n\\", [("a", "\\n\\")]),
    ("a=$(b) 'c d'", [("a", "$(b)"), ("'c", None), ("d'", None)]),
]
_LIST = """
    swarmboot_read_arguments
    while swarmboot_next_argument; do
        [ "$swarmboot_word" != "$swarmboot_name" ] || [ "$swarmboot_value" != on ] || swarmboot_value='\037none'
        printf '%s\036%s\035' "$swarmboot_name" "$swarmboot_value"
    done
"""


@pytest.mark.parametrize(("cmdline", "expected"), CASES)
def test_a_command_line_is_taken_apart_as_the_kernel_does(cmdline: str, expected: list[tuple[str, str | None]]) -> None:
    assert list(kernel_arguments(cmdline)) == expected


def test_the_last_value_counts() -> None:
    assert last_value('s=a x s="b c" s s=', "s") == "b c"
    assert last_value("t=a", "s") is None


def in_sh(shell: tuple[str, ...], folder: Path, cmdlines: list[str]) -> list[list[tuple[str, str | None]]]:
    """Return what the driver makes of each command line, in one run of the shell."""
    for number, cmdline in enumerate(cmdlines):
        (folder / f"{number}").write_bytes(cmdline.encode() + b"\n")
    script = f"""
        . {DRIVER.parent}/arguments.sh
        for number in {" ".join(map(str, range(len(cmdlines))))}; do
            swarmboot_cmdline={folder}/$number
            {_LIST}
            printf '\\034'
        done
    """
    done = subprocess.run((*shell, "-c", script), capture_output=True, timeout=20, check=True)
    assert done.stderr == b""
    listed = [part.split("\x1d")[:-1] for part in done.stdout.decode().split("\x1c")[:-1]]
    pairs = [[tuple(argument.split("\x1e")) for argument in arguments] for arguments in listed]
    return [[(name, None if value == "\x1fnone" else value) for name, value in each] for each in pairs]


def test_sh_and_python_take_apart_the_same(shell: tuple[str, ...], tmp_path: Path) -> None:
    cmdlines = [cmdline for cmdline, _ in CASES if not cmdline.endswith("\n")]
    assert in_sh(shell, tmp_path, cmdlines) == [list(kernel_arguments(each)) for each in cmdlines]


_TEXT = st.text(st.sampled_from("ab=\"\\ \t\v\f\n-*[]?$`'#;&|~\u00e4."), max_size=24)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_TEXT, min_size=1, max_size=60))
def test_sh_and_python_take_apart_any_line_the_same(
    shell: tuple[str, ...], tmp_path: Path, cmdlines: list[str]
) -> None:
    assert in_sh(shell, tmp_path, cmdlines) == [list(kernel_arguments(each)) for each in cmdlines]


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ('swarmboot.memory="2G"', "2G"),
        ('"swarmboot.memory=2G" quiet', "2G"),
        ('x="swarmboot.memory=1G" swarmboot.memory=2G', "2G"),
        ("swarmboot.memory=1G swarmboot.memory=2G", "2G"),
        ("swarmboot.memory=2G -- swarmboot.memory=1G", "2G"),
        ("swarmboot.memory", "on"),
        ("quiet", "40%"),
    ],
)
def test_the_driver_reads_a_setting_as_the_leecher_does(
    shell: tuple[str, ...], tmp_path: Path, cmdline: str, expected: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/defaults").write_text("# baked\nmemory=30%\n")
    (tmp_path / "config/node").write_text("rack=r1\n memory=40%")
    call = f"swarmboot_config={tmp_path}/config; swarmboot_argument memory"
    assert drive(shell, tmp_path, call, cmdline=cmdline) == (0, f"{expected}\n")
