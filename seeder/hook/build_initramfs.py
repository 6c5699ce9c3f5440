"""Builds an initramfs with swarmboot in it, by the distribution's own generator, without changing this machine's.

mkinitramfs(8) is given a configuration folder of its own (`-d`), which holds a copy of this machine's plus the adapter;
dracut(8) looks for modules in one place only, so an overlay in a mount namespace adds ours to them. It will not install
an initramfs for this machine's next boot.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from seeder.hook import install
from seeder.hook.install import Bake
from swarmboot.errors import PrivilegeError, ResourceError, ToolMissingError
from swarmboot.host.programs import run_program
from swarmboot.text.units import format_size

_BOUND_S = 1800
_CONFIGURATION = Path("/etc/initramfs-tools")


def build_initramfs(
    out: Path, *, kernel: str, generator: str, runtime: Path, bake: Bake, say: Callable[[str], None]
) -> None:
    """Write an initramfs for a kernel version whose modules are under /lib/modules.

    It has mode 0600 if it holds a fleet token.

    Raises PrivilegeError, ToolMissingError, KeyFileError, SettingsError, or ResourceError if the generator fails.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("building an initramfs needs root", hint="it must own the files in it")
    program = {"initramfs-tools": "mkinitramfs", "dracut": "dracut"}[generator]
    if not shutil.which(program):
        raise ToolMissingError(f"{program} is not installed", hint=f"install the package {generator}")
    if not Path("/lib/modules", kernel).is_dir():
        known = ", ".join(sorted(path.name for path in Path("/lib/modules").glob("*"))) or "none"
        raise ResourceError(
            f"no modules of kernel {kernel} here", expected=f"one of: {known}", hint="install its package"
        )
    install.check_runtime(runtime, root=Path("/"))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="swarmboot-initramfs.") as work:
        stage = Path(work)
        install.install_code(stage, runtime)
        install.install_config(stage, bake)
        environment = {
            "SWARMBOOT_CODE": str(stage / install.CODE),
            "SWARMBOOT_CONFIG": str(stage / install.CONFIG),
        }
        if bake.token is not None:  # before the first byte of it
            out.touch(0o600)
            out.chmod(0o600)
        command = _mkinitramfs(stage, out, kernel) if generator == "initramfs-tools" else _dracut(stage, out, kernel)
        _run(program, command, environment)
    if bake.token is not None:
        out.chmod(0o600)
    say(f"initramfs: {out}, {format_size(out.stat().st_size)}, for kernel {kernel}, by {program}")


def _mkinitramfs(stage: Path, out: Path, kernel: str) -> tuple[str, ...]:
    configuration = stage / "initramfs-tools"
    shutil.copytree(_CONFIGURATION, configuration, symlinks=True)
    for name in ("hooks", "scripts"):
        (configuration / name).mkdir(exist_ok=True)
    install.install_initramfs_tools(stage)
    installed = stage / install.INITRAMFS_TOOLS
    shutil.copytree(installed / "hooks", configuration / "hooks", dirs_exist_ok=True)
    shutil.copytree(installed / "scripts", configuration / "scripts", dirs_exist_ok=True)
    with (configuration / "initramfs.conf").open("a") as file:
        file.write("\n" + (installed / "conf-hooks.d/swarmboot").read_text())
    return ("mkinitramfs", "-d", str(configuration), "-o", str(out), kernel)


_WITH_MODULE = """
mount -t overlay -o "lowerdir=$1:/usr/lib/dracut/modules.d" swarmboot /usr/lib/dracut/modules.d
shift
exec dracut "$@"
"""


def _dracut(stage: Path, out: Path, kernel: str) -> tuple[str, ...]:
    """Return the command that runs dracut with our module among its own, in a mount namespace of its own."""
    install.install_dracut(stage)
    modules = stage / install.DRACUT.parent
    generic = ("--no-hostonly", "--no-hostonly-cmdline", "--force", "--add", "swarmboot")
    contained = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-e", "-c", _WITH_MODULE, "sh")
    return (*contained, str(modules), *generic, str(out), kernel)


def _run(program: str, command: tuple[str, ...], environment: dict[str, str]) -> None:
    whole = {**os.environ, **environment, "LC_ALL": "C.UTF-8"}
    run_program(command, bound_s=_BOUND_S, failure=ResourceError, what=program, environment=whole)
