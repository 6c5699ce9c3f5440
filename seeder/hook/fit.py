"""Whether a runtime image fits a system: the same machine type, and every library there that it borrows.

Machine types are named as in `seeder.program`. It will not run anything.
"""

from __future__ import annotations

from pathlib import Path

from seeder.initramfs.links import follow
from seeder.program import HEAD_BYTES, parse_program
from swarmboot.errors import ResourceError

_LOADERS = {
    "ld-linux.so.2": "x86", "ld-linux-armhf.so.3": "arm", "ld-linux-x86-64.so.2": "x86-64",
    "ld-linux-aarch64.so.1": "arm64", "ld-linux-riscv64-lp64d.so.1": "riscv",
    "ld-linux-loongarch-lp64d.so.1": "loongarch",
}  # fmt: skip
"""The names that glibc gives its dynamic loader, one for each machine type."""
_INSIDE = "build it with that system's own programs: see --inside of `swarmboot hook build-initramfs`"
_PROGRAMS = ("bin/sh", "usr/bin/kmod", "bin/kmod", "sbin/ldconfig")


def machine_of_libraries(libraries: list[str]) -> str | None:
    """Return the machine type of a runtime that borrows these, or None if no loader that is known is among them."""
    return next((_LOADERS[name] for path in libraries if (name := Path(path).name) in _LOADERS), None)


def machine_of_system(root: Path) -> str | None:
    """Return the machine type of the programs under `root`, or None if none of those that every system has is there."""
    for name in _PROGRAMS:
        try:
            with follow(root, name).open("rb") as file:
                program = parse_program(file.read(HEAD_BYTES))
            if program is not None and program.machine:
                return program.machine
        except OSError:
            continue
    return None


def check_same_machine(root: Path) -> None:
    """Raise ResourceError if what this machine's programs build is for another machine type than the system at root."""
    here, there = machine_of_system(Path("/")), machine_of_system(root)
    if None not in (here, there) and here != there:
        raise ResourceError(
            f"a runtime that is built here is for another machine type than {root}",
            expected=there or "",
            found=here or "",
            hint=_INSIDE,
        )


def check_fits(runtime: Path, libraries: list[str], *, root: Path) -> None:
    """Raise ResourceError if a runtime image that borrows `libraries` cannot run in an initramfs of the system at root.

    A root without programs, as a package is built in, is not looked at.
    """
    here, its = machine_of_system(root), machine_of_libraries(libraries)
    if here is None:
        return
    if its not in (None, here):
        raise ResourceError(
            f"the runtime {runtime} is for another machine type than {root}",
            expected=here,
            found=its or "",
            hint=_INSIDE,
        )
    missing = [path for path in libraries if not follow(root, path).exists()]
    if missing:
        raise ResourceError(
            f"the runtime {runtime} is of another distribution than {root}",
            expected=f"the libraries that it borrows, {missing[0]} among them",
            found=f"{len(missing)} of {len(libraries)} are missing",
            hint=_INSIDE,
        )
