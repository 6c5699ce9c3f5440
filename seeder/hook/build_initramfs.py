"""Builds an initramfs with swarmboot in it, by the distribution's own generator, without changing this machine's.

mkinitramfs(8) is given a configuration folder of its own (`-d`), which holds a copy of this machine's plus the adapter;
dracut(8) looks for modules in one place only, so an overlay in a mount namespace adds ours to them. For a lean one the
programs of disks are left out by the generator, modules and firmware afterwards (decision 54). It will not install an
initramfs for this machine's next boot.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seeder.hook import install
from seeder.hook.install import Bake
from seeder.initramfs.card_list import CardList
from seeder.initramfs.choice import cards_named, parse_needs
from seeder.initramfs.lean import Lean, make_lean
from swarmboot.errors import PrivilegeError, ResourceError, ToolMissingError
from swarmboot.host.programs import run_program
from swarmboot.text.units import format_size

_BOUND_S = 1800
_GENERATORS = {"initramfs-tools": "mkinitramfs", "dracut": "dracut"}
_MODULES, _FIRMWARE = Path("/lib/modules"), Path("/lib/firmware")
_ALIASES = "modules.alias"
_CONFIGURATION = Path("/etc/initramfs-tools")
_CONTAINED = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-e", "-c")
_HOOKS = Path("/usr/share/initramfs-tools/hooks")
_HOOKS_FOR_DISKS = (
    "fsck", "resume", "dmsetup", "dmraid", "lvm2", "mdadm", "multipath", "crypt*", "btrfs", "xfs", "zfs*", "ntfs_3g",
    "reiserfsprogs", "bcache*", "open-iscsi", "nbd-client", "plymouth",
)  # fmt: skip
"""Hooks of initramfs-tools, by the names that their packages give them, whose programs no lean initramfs needs."""
_MODULES_FOR_DISKS = (
    "btrfs", "cifs", "convertfs", "crypt", "crypt-gpg", "crypt-loop", "dm", "dmraid", "dmsquash-live", "drm", "fcoe",
    "fcoe-uefi", "fido2", "fs-lib", "iscsi", "lunmask", "lvm", "lvmmerge", "lvmthinpool-monitor", "mdraid", "multipath",
    "nbd", "nfs", "nvdimm", "nvmf", "pcsc", "pkcs11", "plymouth", "resume", "rootfs-block", "systemd-cryptsetup",
    "systemd-integritysetup", "systemd-repart", "systemd-veritysetup", "tpm2-tss", "virtfs", "virtiofs", "zfs",
)  # fmt: skip
"""Modules of dracut likewise; with what a disk's key may be on."""


@dataclass(frozen=True, slots=True)
class Leanness:
    """That an initramfs is to be lean; with `nics`, a list, for these cards alone; quick, packed less tightly."""

    nics: CardList | None = None
    is_quick: bool = False


def build_initramfs(
    out: Path, *, kernel: str, generator: str, runtime: Path, bake: Bake, say: Callable[[str], None],
    leanness: Leanness | None = None, modules: Path | None = None,
) -> Lean | None:  # fmt: skip
    """Write an initramfs for a kernel version; return what a lean one holds. It has mode 0600 if it has a fleet token.

    The kernel's modules are under lib/modules or usr/lib/modules and its configuration under boot in `modules`, this
    machine's root without it; if there is a firmware folder beside them, it takes the place of this machine's.

    Raises as `check_machine` does, KeyFileError, SettingsError, or ResourceError if the generator fails.
    """
    check_machine(kernel, generator, leanness, modules)
    program = _GENERATORS[generator]
    install.check_runtime(runtime, root=Path("/"))
    out.parent.mkdir(parents=True, exist_ok=True)
    lean = None
    with tempfile.TemporaryDirectory(prefix="swarmboot-initramfs.") as work:
        stage = Path(work)
        install.install_code(stage, runtime)
        install.install_config(stage, bake)
        environment = {
            "SWARMBOOT_CODE": str(stage / install.CODE),
            "SWARMBOOT_CONFIG": str(stage / install.CONFIG),
        }
        made = out if leanness is None else stage / "whole.img"
        if bake.token is not None:  # before the first byte of it
            made.touch(0o600)
            made.chmod(0o600)
        generate = _mkinitramfs if generator == "initramfs-tools" else _dracut
        command = generate(stage, made, kernel, is_lean=leanness is not None)
        config = config_of(modules or Path("/"), kernel)
        hint = (
            "" if config.exists() else f"{config} is not there: copy it from the kernel's package, {program} reads it"
        )
        _run(program, command if modules is None else around(modules, kernel, stage, command), environment, hint=hint)
        mode = 0o600 if bake.token is not None else 0o644
        if leanness is not None:
            lean = make_lean(
                made, out, kernel=kernel, config=config, nics=leanness.nics, mode=mode, is_quick=leanness.is_quick
            )
    if bake.token is not None:
        out.chmod(0o600)
    say(f"initramfs: {out}, {format_size(out.stat().st_size)}, for kernel {kernel}, by {program}")
    for line in lean.lines() if lean is not None else ():
        say(line)
    return lean


def check_machine(kernel: str, generator: str, leanness: Leanness | None, tree: Path | None = None) -> None:
    """Raise PrivilegeError, ToolMissingError, ResourceError or MalformedSettingError if no such one can be built here.

    What is missing is said before anything is built, which takes a minute.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("building an initramfs needs root", hint="it must own the files in it")
    _check_program(_GENERATORS[generator], package=generator)
    if leanness is not None:
        _check_program("depmod", package="kmod")
    folder = _MODULES if tree is None else modules_in(tree, kernel)
    modules = folder / kernel
    if not modules.is_dir():
        known = ", ".join(sorted(path.name for path in folder.glob("*"))) or "none"
        raise ResourceError(
            f"no modules of kernel {kernel} {'here' if tree is None else f'in {folder}'}",
            expected=f"one of: {known}",
            hint="install its package" if tree is None else "give another version, or another folder",
        )
    if leanness is not None:
        check_for_lean(modules, leanness)


def modules_in(tree: Path, kernel: str) -> Path:
    """Return where a folder has modules: Debian's packages of kernels have them below usr/lib since Debian 13."""
    own = _MODULES.relative_to("/")
    merged = tree / "usr" / own
    return merged if (merged / kernel).is_dir() and not (tree / own / kernel).is_dir() else tree / own


def config_of(tree: Path, kernel: str) -> Path:
    """Return where a folder says what a kernel was built with: sid has it beside the modules."""
    own, beside = tree / f"boot/config-{kernel}", modules_in(tree, kernel) / kernel / "config"
    return beside if beside.is_file() and not own.exists() else own


def check_for_lean(modules: Path, leanness: Leanness) -> None:
    """Raise ToolMissingError or MalformedSettingError for what a lean initramfs with these modules would end at."""
    dep, alias = (path.read_text() if path.is_file() else "" for path in (modules / "modules.dep", modules / _ALIASES))
    if ".ko.zst:" in dep:
        _check_program("zstd", package="zstd")
    if leanness.nics is not None and dep and alias:
        cards_named(leanness.nics.text, alias, parse_needs(dep, "", "").depends, label=leanness.nics.label)


def _check_program(program: str, *, package: str) -> None:
    if not shutil.which(program):
        raise ToolMissingError(f"{program} is not installed", hint=f"install the package {package}")


def _mkinitramfs(stage: Path, out: Path, kernel: str, *, is_lean: bool) -> tuple[str, ...]:
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
    command = ("mkinitramfs", "-d", str(configuration), "-o", str(out))
    if not is_lean:
        return (*command, kernel)
    hooks = stage / "hooks"
    shutil.copytree(_HOOKS, hooks, symlinks=True, ignore=shutil.ignore_patterns(*_HOOKS_FOR_DISKS))
    return (*_CONTAINED, _WITH_HOOKS, "sh", str(hooks), str(_HOOKS), *command, "-c", "gzip", "-l", "1", kernel)


_WITH_HOOKS = """
mount --bind "$1" "$2"
shift 2
exec "$@"
"""
_WITH_MODULES = """
mount --bind "$1" /lib/modules
mount --bind "$2" /boot
if [ -d "$1/../firmware" ]; then mount --bind "$1/../firmware" /lib/firmware; fi
shift 2
exec "$@"
"""
_WITH_MODULE = """
mount -t overlay -o "lowerdir=$1:/usr/lib/dracut/modules.d" swarmboot /usr/lib/dracut/modules.d
shift
exec dracut "$@"
"""


def around(tree: Path, kernel: str, stage: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command that finds the modules and kernel configurations in a folder in place of this machine's."""
    boot, config = tree / "boot", config_of(tree, kernel)
    if config.parent != boot or not boot.is_dir():
        boot = stage / "boot"
        boot.mkdir()
        if config.is_file():
            shutil.copyfile(config, boot / f"config-{kernel}")
    for folder in (_MODULES, _FIRMWARE):
        folder.mkdir(exist_ok=True)
    modules = modules_in(tree, kernel)
    return (*_CONTAINED, _WITH_MODULES, "sh", str(modules.resolve()), str(boot.resolve()), *command)


def _dracut(stage: Path, out: Path, kernel: str, *, is_lean: bool) -> tuple[str, ...]:
    """Return the command that runs dracut with our module among its own, in a mount namespace of its own."""
    install.install_dracut(stage)
    modules = stage / install.DRACUT.parent
    generic = ("--no-hostonly", "--no-hostonly-cmdline", "--force", "--add", "swarmboot")
    if is_lean:
        lean = ("--no-compress", "--omit", " ".join(_MODULES_FOR_DISKS))
        return (*_CONTAINED, _WITH_MODULE, "sh", str(modules), *generic, *lean, str(out), kernel)
    return (*_CONTAINED, _WITH_MODULE, "sh", str(modules), *generic, str(out), kernel)


def _run(program: str, command: tuple[str, ...], environment: dict[str, str], *, hint: str) -> None:
    whole = {**os.environ, **environment, "LC_ALL": "C.UTF-8"}
    run_program(command, bound_s=_BOUND_S, failure=ResourceError, what=program, environment=whole, hint=hint)
