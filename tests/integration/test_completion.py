"""What shells complete, by the files of the Debian package, and what that loads."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.tree import TREE
from tests.support.waiting import BOUND_S

FILES = TREE / ".ci/debian/completions"
HEAVY = ("trio", "httpx", "starlette", "hypercorn", "numpy", "libtorrent", "cryptography.x509", "matplotlib")
_LOADED = """
import sys
from swarmboot.cli import main
try:
    main()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Return an environment in which `swarmboot` is what is tried, and a user has no settings."""
    program = tmp_path / "bin/swarmboot"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom swarmboot.cli import main\n\nmain()\n")
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }


def in_bash(words: str, environment: Mapping[str, str]) -> list[str]:
    script = """
        . "$1"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _swarmboot_completion "$1" "${!#}" "${@: -2:1}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    command = ["bash", "--norc", "-c", script, "bash", str(FILES / "swarmboot"), *words.split(" ")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def in_fish(words: str, environment: Mapping[str, str]) -> list[str]:
    script = f"source {FILES / 'swarmboot.fish'}; complete -C '{words}'"
    command = ["fish", "--no-config", "-c", script]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return [line.partition("\t")[0] for line in said.splitlines()]


@pytest.mark.parametrize(
    ("shell", "complete"),
    [pytest.param(name, run, marks=pytest.mark.needs(name)) for name, run in (("bash", in_bash), ("fish", in_fish))],
)
def test_a_shell_completes_verbs_options_and_choices(
    shell: str, complete: Callable[[str, Mapping[str, str]], list[str]], environment: Mapping[str, str]
) -> None:
    assert complete("swarmboot rotat", environment) == ["rotate"]
    assert complete("swarmboot unit in", environment) == ["install"]
    assert complete("swarmboot serve --dhcp-r", environment) == ["--dhcp-range"]
    assert complete("swarmboot serve --stage0-trust la", environment) == ["lan"]
    assert complete("swarmboot unit install --sock", environment) == ["--socket"]
    assert complete("swarmboot unit install site/ --dhcp-r", environment) == ["--dhcp-range"]
    assert complete("swarmboot unit show site/ --stage0-trust la", environment) == ["lan"]


@pytest.mark.needs("bash")
def test_a_sites_channels_and_releases_are_completed(environment: Mapping[str, str], tmp_path: Path) -> None:
    for name in ("channels/edge.swarm", "channels/early.swarm", "manifests/9.swarm", "manifests/12.swarm"):
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).touch()
    site = tmp_path / "site"
    assert in_bash(f"swarmboot promote {site} ", environment) == ["early", "edge"]
    assert in_bash(f"swarmboot promote {site} edge ea", environment) == ["early"]
    assert in_bash(f"swarmboot rollback {site} --channel ed", environment) == ["edge"]
    assert in_bash(f"swarmboot rollback {site} --to ", environment) == ["12", "9"]
    assert in_bash(f"swarmboot pin {site} 1", environment) == ["12"]
    assert in_bash(f"swarmboot release diff {site} ", environment) == ["early", "edge", "12", "9"]
    assert in_bash(f"swarmboot publish {tmp_path}/release --channel ed", environment) == ["edge"]
    assert in_bash(f"swarmboot promote {tmp_path}/nowhere ", environment) == []


@pytest.mark.needs("zsh")
def test_zsh_completes_at_the_first_key(environment: Mapping[str, str]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
    said = b""

    def await_sign(sign: bytes) -> None:
        nonlocal said
        end_s = time.monotonic() + BOUND_S
        while sign not in said and time.monotonic() < end_s:
            if select.select([terminal], [], [], 0.5)[0]:
                said += os.read(terminal, 4096)
        assert sign in said, said

    try:
        line = f"PS1=ready; fpath=({FILES} $fpath); autoload -Uz compinit; compinit -u -D; echo in''it\n"
        os.write(terminal, line.encode())
        await_sign(b"init\r\n")
        os.write(terminal, b"swarmboot rotat\t")
        await_sign(b"swarmboot rotate ")
        os.write(terminal, b"--new-tr\t")
        await_sign(b"--new-trust ")
    finally:
        os.close(terminal)  # which hangs up
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "words",
    [
        "swarmboot s",
        "swarmboot serve --d",
        "swarmboot status --s",
        "swarmboot simulate --n",
        "swarmboot rollback site/ --c",
    ],
)
def test_a_shell_waits_for_nothing_that_an_answer_does_not_need(words: str) -> None:
    environment = {
        **os.environ, "_SWARMBOOT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
    }  # fmt: skip
    command = [sys.executable, "-c", _LOADED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=True)
    assert done.stdout.startswith("plain,")
    assert not set(HEAVY) & set(done.stderr.split())
