"""Debian packages of other suites and architectures, unpacked without being installed: a newer iPXE, ukify, arm64.

They come from the mirror that this machine has its own packages from, with package lists of their own, once.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

from tests.system.vm.cache import cached
from tests.system.vm.programs import run

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_UPDATE_S = 240.0
T = TypeVar("T")


@cache
def unpacked(package: str, *, suite: str, architecture: str = "amd64") -> Path:
    """Return the folder that a package is unpacked in; leave the test out if it is not to be had here."""

    def build(folder: Path) -> None:
        apt = apt_for(suite, architecture)
        folder.mkdir()
        run(*apt, "download", f"{package}:{architecture}", folder=folder)
        (deb,) = folder.glob("*.deb")
        run("dpkg", "-x", str(deb), str(folder))
        deb.unlink()

    return _or_leave_out(package, suite, lambda: cached(f"unpacked.{package}.{architecture}", suite, build))


@cache
def kernel(flavour: str, *, suite: str, architecture: str) -> Path:
    """Return a Debian kernel of another architecture; leave the test out if it is not to be had here."""
    name = f"linux-image-{flavour}"

    def package() -> str:
        depends = run("apt-cache", *apt_for(suite, architecture)[1:], "depends", f"{name}:{architecture}")
        return next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line).partition(":")[0]

    (found,) = unpacked(_or_leave_out(name, suite, package), suite=suite, architecture=architecture).glob(
        "boot/vmlinuz-*"
    )
    return found


def apt_for(suite: str, architecture: str) -> tuple[str, ...]:
    """Return apt-get with the package lists of one suite and architecture, fetched now if they are not there."""
    found = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(SITE)", "Created-By: Packages")
    mirror = next(line.split()[1] for line in found.splitlines() if line.startswith("Debian "))

    def build(folder: Path) -> None:
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "archives/partial").mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {suite} main\n")
        run(*_options(folder, architecture), "update", "--quiet=2", within_s=_UPDATE_S)

    return _options(cached(f"apt.{architecture}.{suite}", "lists", build), architecture)


def _options(folder: Path, architecture: str) -> tuple[str, ...]:
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
    }
    return ("apt-get", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}")))


def _or_leave_out(package: str, suite: str, fetch: Callable[[], T]) -> T:
    try:
        return fetch()
    except (AssertionError, StopIteration, subprocess.TimeoutExpired):
        pytest.skip(f"they need {package} of Debian {suite}, not to be had here")
