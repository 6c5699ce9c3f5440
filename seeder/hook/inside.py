"""Builds an initramfs in another system's tree by that system's own programs: Debian for arm64 on an amd64 server.

The tree is a whole system as debootstrap(8) or mmdebstrap(1) leaves one, with the packages that docs/boot.md names in
it. Programs of another machine type are run by QEMU's user emulation, which binfmt_misc(5) calls. All mounts and
processes end with the build. It will not make the tree, and installs nothing in it but the runtime image.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seeder.hook.build_initramfs import Leanness
from seeder.hook.files import hook_folder, place
from seeder.hook.fit import machine_of_system
from seeder.hook.install import Bake, authority_of
from seeder.initramfs.links import follow
from seeder.program import HEAD_BYTES, parse_program
from swarmboot.errors import PrivilegeError, ResourceError, ToolMissingError
from swarmboot.text.units import format_size

PLACE = Path("/mnt")
"""Where the tree finds our code and the fleet's files while it builds."""
_PYTHON = "/usr/bin/python3"
_OUT = "out/initramfs.img"
_CARDS = "cards"
_BOUND_S = 3600
_PACKAGES = ("swarmboot", "leecher", "seeder")
_CANNOT_RUN, _NOT_FOUND = 126, 127
_REFUSAL = "swarmboot: "
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from swarmboot.cli import main, swarmboot
from seeder.hook.cli import hook
swarmboot.add_command(hook)
main()
"""
_ENTER = """
set -eu
tree=$1 stage=$2 place=$3
shift 3
mount --bind "$tree" "$tree"
mkdir -p "$tree$place"
mount --bind "$stage" "$tree$place"
mount -t proc proc "$tree/proc"
mount -t sysfs -o ro sysfs "$tree/sys"
mount --rbind /dev "$tree/dev"
exec chroot "$tree" "$@"
"""


def build_inside(
    tree: Path,
    out: Path,
    *,
    kernel: str,
    generator: str,
    runtime: Path,
    bake: Bake,
    say: Callable[[str], None],
    leanness: Leanness | None = None,
) -> dict[str, object] | None:
    """Write an initramfs for a kernel of the system in `tree`; `runtime` is a path in it, built if it is not there.

    Returns what a lean one holds, as JSON has it.

    Raises PrivilegeError, ToolMissingError if the tree's programs do not run here or lack click, or ResourceError with
    the tree's own words if the build fails. What is written is whole or not there, mode 0600 if it holds a fleet token.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("building in another system's tree needs root", hint="it is entered by chroot")
    check_tree(tree)
    with tempfile.TemporaryDirectory(prefix="swarmboot-inside.") as work:
        stage = Path(work)
        _place_code(stage)
        flags, names = _place(stage, bake)
        arguments = ("--kernel", kernel, "--generator", generator, "--runtime", str(runtime), *flags)
        if leanness is not None:
            arguments = (*arguments, *_place_leanness(stage, leanness, names), "--json")
        (stage / "out").mkdir()
        values = _build(tree, stage, ("--out", str(PLACE / _OUT), *arguments), names, say)
        place(out, (stage / _OUT).read_bytes(), mode=0o600 if bake.token is not None else 0o644)
    machine = machine_of_system(tree) or "an unknown machine type"
    say(f"initramfs: {out}, {format_size(out.stat().st_size)}, for kernel {kernel} on {machine}, by {tree}'s programs")
    return values["lean"] if leanness is not None else None


def check_tree(tree: Path) -> None:
    """Raise ToolMissingError if `tree` is no system whose programs run here, or if it lacks Python or click."""
    python = follow(tree, _PYTHON)
    if not python.is_file():
        raise ToolMissingError(
            f"{tree} has no {_PYTHON}", expected="a system made by debootstrap", hint="install python3 in it"
        )
    done = subprocess.run(
        ("chroot", str(tree), _PYTHON, "-I", "-c", "import click"), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=_BOUND_S, env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode in (_CANNOT_RUN, _NOT_FOUND):
        with python.open("rb") as file:
            program = parse_program(file.read(HEAD_BYTES))
        machine = (program and program.machine) or "an unknown machine type"
        raise ToolMissingError(
            f"the programs of {tree} do not run on this machine",
            expected=f"programs for {os.uname().machine}, or QEMU's user emulation for {machine}",
            found=(done.stderr.strip().splitlines() or ["no message"])[-1],
            hint="install qemu-user-static with what it recommends",
        )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["no message"]
        raise ToolMissingError(f"{tree} cannot run swarmboot", found=words[-1], hint="install python3-click in it")


def _place_code(stage: Path) -> None:
    code = stage / "code"
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(hook_folder(), code / hook_folder().name)


def _place(stage: Path, bake: Bake) -> tuple[tuple[str, ...], dict[str, str]]:
    """Put the fleet's files beside the code; return the flags that name them as the tree sees them, and as typed."""
    files = [("--trust", path) for path in bake.trust] + [("--ca", authority_of(bake))]
    files += [("--fleet-token", bake.token)] if bake.token is not None else []
    flags, names = ["--floor", str(bake.floor)], {}
    for number, (flag, path) in enumerate(files):
        to = stage / f"fleet/{number}"
        to.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, to)
        seen = str(PLACE / to.relative_to(stage))
        names[seen] = str(path)
        flags += [flag, seen]
    for name, value in bake.defaults.items():
        flags += ["--default", f"{name}={value}"]
    return tuple(flags), names


def _place_leanness(stage: Path, leanness: Leanness, names: dict[str, str]) -> tuple[str, ...]:
    """Put the list of cards beside the fleet's files, if there is one, its name among theirs; return the flags."""
    lean = ("--lean", "--quick") if leanness.is_quick else ("--lean",)
    if leanness.nics is None:
        return lean
    (stage / _CARDS).write_bytes(leanness.nics.text.encode())
    flags = ("--nics", str(PLACE / _CARDS))
    names[" ".join(flags)] = leanness.nics.label
    return (*lean, *flags)


def _as_typed(line: str, names: Mapping[str, str]) -> str:
    """Return a line that the tree has said with the files called what they are outside of it."""
    for seen in sorted(names, key=len, reverse=True):
        line = line.replace(seen, names[seen])
    return line


def _build(
    tree: Path, stage: Path, arguments: tuple[str, ...], names: Mapping[str, str], say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the same command in the tree; return its JSON object, if it was asked for one.

    What it says of the files in `names` is said of them by the names that they have outside.
    """
    contained = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--")
    inner = (_PYTHON, "-B", "-c", _COMMAND, str(PLACE / "code"), "hook", "build-initramfs", *arguments)
    command = (*contained, "sh", "-c", _ENTER, "sh", str(tree.resolve()), str(stage), str(PLACE), *inner)
    environment = {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        last, values = "no message", {}
        try:
            assert process.stdout is not None
            for line in process.stdout:
                last = line.strip() or last
                if line.startswith("{"):
                    values = json.loads(line)
                elif _OUT not in line and not line.startswith(_REFUSAL):
                    say(_as_typed(line.rstrip("\n"), names))
        finally:
            process.kill()
    if process.returncode != 0:
        words = _as_typed(last.removeprefix(_REFUSAL), names)
        raise ResourceError(f"the build in {tree} failed", found=f"{process.returncode}: {words}")
    return values
