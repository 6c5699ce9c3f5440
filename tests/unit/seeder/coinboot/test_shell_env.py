"""Settings read as a shell reads assignments: the shell itself says what is right, and nothing is ever expanded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from seeder.coinboot.shell_env import format_env, parse_shell_env
from seeder.publish.env_file import parse_env
from swarmboot.errors import ReleaseError

PLAIN = [
    'A=1\nexport B=\'x y\' # a comment\nC="q\\"r"\n',
    "A=a#b\nB=a\\ b\nC=\n",
    "A=1 B=2; C=3",
    "A=$\nB='$HOME `id`'\nC=\"a\\$b\"\n",
    'A=x\\\ny\nB="x\\\ny"\n',
    "A='it'\"'\"'s'\nB=\"C:\\new\"\n",
    "# x\n   export A=1 B=2\nexport A\nC=a=b\n",
    'A=5$ B=a$\nC="5$"\n',
    "A='a'b\"c\"\\d\nB={x,y}\nC=*\n",
    "A=1\nA=2\nB=x~y\nC='~'\n",
    "A=\"\\a\\\\\"\nB=\\\\\nC=''\n",
]
REFUSED = [
    ("A=1\nB=$HOME\n", "f:2 has a '$'"),
    ("A=`id`", "f:1 has a '`'"),
    ('A="$(id)"', "f:1 has a '$'"),
    ('A="${HOME}"', "f:1 has a '$'"),
    ("A=$'x'", "f:1 has a '$'"),
    ("A=~/x", "f:1 has a '~'"),
    ("A=x:~", "f:1 has a '~'"),
    ("A=1\n\nrm -rf /\n", "f:3 is no assignment"),
    ("A=1 id", "f:1 is no assignment"),
    ("A=<add your ID here>", "f:1 has a '<'"),
    ("A=1 & B=2", "f:1 has a '&'"),
    ("A=(1 2)", "f:1 has a '('"),
    ("A='x", "f:1 has a quote"),
    ('A=1\nB="x\n', "f:2 has a quote"),
    ("A='x\ny'", "f:1 has a line break"),
    ("'A'=1", "f:1 is no assignment"),
    ("A+=1", "f:1 is no assignment"),
    ("export B", "f:1 is no assignment"),
    (". /etc/environment", "f:1 is no assignment"),
    ("A=1;;B=2", "f:1 has nothing before"),
]


@pytest.mark.needs("dash")
@pytest.mark.parametrize("text", PLAIN)
def test_every_assignment_is_read_as_the_shell_reads_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(text)
    script = '. "$0"; for n in A B C; do eval "v=\\${$n-unset}"; printf "%s\\0" "$v"; done'
    done = subprocess.run(("dash", "-c", script, str(tmp_path / "f")), capture_output=True, check=True, env={})
    said = dict(zip("ABC", done.stdout.decode().split("\0"), strict=False))
    assert parse_shell_env(text, where="f") == {name: value for name, value in said.items() if value != "unset"}


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_a_shell_would_expand_or_run_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(ReleaseError) as refused:
        parse_shell_env(text, where="f")
    assert str(refused.value).startswith(why)


def test_a_value_of_a_secret_file_is_not_repeated() -> None:
    with pytest.raises(ReleaseError) as refused:
        parse_shell_env("A=hidden$(id)", where="env/a.secret.env")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("value", ["plain", " blanks ", "it's", 'say "x"', "#", "a # b", "$HOME", "", "'", "\\"])
def test_a_value_that_was_read_is_written_so_that_publish_reads_the_same(value: str) -> None:
    assert parse_env(format_env({"A": value}, where="f"), where="f") == {"A": value}


def test_a_value_that_no_line_can_carry_is_refused() -> None:
    with pytest.raises(ReleaseError):
        format_env({"A": "\"it's"}, where="f")
