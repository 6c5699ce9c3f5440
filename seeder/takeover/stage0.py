"""The initramfs of a release that was taken over: built here for its kernel, by this machine's generator.

The system's own mounts or unpacks its root in its own way; what nodes need in its place is our hook with that kernel's
modules. The modules are the root's, so the kernel need not be installed here, nor a generator in the root.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seeder.hook import build_initramfs, runtime_image
from seeder.hook.install import Bake, authority_of
from seeder.takeover.directory import Adopted
from swarmboot import __version__
from swarmboot.errors import PrivilegeError, ToolMissingError

_GENERATORS = {"initramfs-tools": "mkinitramfs", "dracut": "dracut"}
_STAMP = "initramfs-made-of"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an initramfs is to be built: whom its nodes believe, and the runtime image, made if it is missing."""

    bake: Bake
    runtime: Path


Asked = Callable[[Adopted], Wanted]


def build(adopted: Adopted, asked: Asked, *, say: Callable[[str], None]) -> bool:
    """Build the release's initramfs, lean; return whether that was needed: made of the same, it stays.

    `asked` is called once it is known that it can be built. Raises PrivilegeError or ToolMissingError if it cannot be
    built here, and what `build_initramfs` raises.
    """
    generator = _generator()
    wanted = asked(adopted)
    if not wanted.runtime.exists():
        runtime_image.build_runtime(wanted.runtime, origin="packages", compression="xz", say=say)
    stamp, made_of = adopted.modules / _STAMP, _made_of(adopted, wanted, generator)
    if adopted.initramfs.exists() and stamp.exists() and stamp.read_text() == made_of:
        return False
    stamp.unlink(missing_ok=True)
    build_initramfs.build_initramfs(
        adopted.initramfs, kernel=adopted.kernel, generator=generator, runtime=wanted.runtime, bake=wanted.bake,
        say=say, leanness=build_initramfs.Leanness(), modules=adopted.modules,
    )  # fmt: skip
    stamp.write_text(made_of)
    return True


def _generator() -> str:
    if os.geteuid() != 0:
        raise PrivilegeError("building an initramfs needs root", hint="it must own the files in it")
    generator = next((name for name, program in _GENERATORS.items() if shutil.which(program)), "")
    if not generator:
        raise ToolMissingError("no initramfs generator is installed", hint="install initramfs-tools-core or dracut")
    return generator


def _made_of(adopted: Adopted, wanted: Wanted, generator: str) -> str:
    """Return a digest of what an initramfs of this release is made of."""
    bake = wanted.bake
    whole = hashlib.sha256(f"{__version__} {generator} {adopted.kernel} {bake.floor} {bake.defaults}".encode())
    for path in (*bake.trust, authority_of(bake), wanted.runtime):
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def command(adopted: Adopted) -> str:
    """Return the command that a person gives where and when the initramfs can be built."""
    modules, initramfs = (shlex.quote(str(path)) for path in (adopted.modules, adopted.initramfs))
    return (
        f"swarmboot hook build-initramfs --lean --kernel {adopted.kernel} --modules {modules} "
        f"--out {initramfs} --trust swarmboot.pub --ca ca.pem"
    )
