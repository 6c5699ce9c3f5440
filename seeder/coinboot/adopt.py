"""Takes Coinboot's server folder over into a release directory.

vmlinuz, rootfs.squashfs, plugins/*.tar.gz, env/*.env, release.toml      what `publish` takes
.coinboot/lib/modules/, .coinboot/boot/                                  what `hook build-initramfs --modules` takes
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from seeder.coinboot.dpkg_status import merge
from seeder.coinboot.folder import CoinbootFolder
from seeder.coinboot.nested import STATUS, Nested, open_nested
from seeder.coinboot.plugin import take_over
from seeder.coinboot.shell_env import format_env
from seeder.takeover.directory import Adopted, Directory, beside, remembered
from seeder.takeover.root_image import write_root_image
from swarmboot import __version__
from swarmboot.errors import ReleaseError, ResourceError, ToolMissingError
from swarmboot.host.programs import run_program

PARTS = ".coinboot"
_FORMAT = 1
_DEPMOD_S = 600
_ENV = ".env"


def adopt(found: CoinbootFolder, out: Path, *, say: Callable[[str], None]) -> Adopted:
    """Make the release directory `out`, still without an initramfs.

    Raises ReleaseError for what cannot be read, ResourceError or ToolMissingError if a step cannot be done, and
    UnreadableError if `out` was not made here, or would be made anew and holds what somebody has put there.
    """
    directory = Directory(out, PARTS, "put them into Coinboot's folder, or choose another with --out")
    is_new, made = directory.made_of(_stamp(found), lambda release: _make(found, release, say))
    plugins = tuple(plugin.name for plugin in found.plugins)
    return Adopted(out, is_new, str(made["kernel"]), plugins, (*found.lost, *remembered(made, "lost")), PARTS)


def _stamp(found: CoinbootFolder) -> str:
    """Return a digest of everything that the release is made of."""
    whole = hashlib.sha256(f"{_FORMAT} {__version__} {found!r}".encode())
    for path in (found.kernel, found.initramfs, *found.plugins, found.release_toml):
        if path is not None:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _make(found: CoinbootFolder, release: Path, say: Callable[[str], None]) -> dict[str, object]:
    """Make the release; return which kernel it is for, and what of its archives was not taken over."""
    for name in ("plugins", "env"):
        (release / name).mkdir()
    packages = {label: text for label, text in _write_plugins(found, release).items() if text is not None}
    lost = []
    with tempfile.TemporaryDirectory(prefix="swarmboot-coinboot.") as work:
        label = str(found.initramfs.relative_to(os.path.realpath(found.folder)))
        say(f"unpacking {label}")
        nested = open_nested(found.initramfs, Path(work), label=label)
        kernel = _kernel_of(found, nested)
        changed = _lists_anew(nested, kernel)
        if packages and nested.packages is None:
            lost = [f"{label}:/tmp/dpkg_status: the root has no {STATUS}" for label in packages]
        elif packages:
            changed[STATUS] = merge(nested.packages or "", packages).encode(errors="surrogateescape")
        say("packing the root into rootfs.squashfs")
        image, newest_s = release / "rootfs.squashfs", nested.newest_s
        write_root_image(nested.entries(), image, changed=changed, newest_s=newest_s, label=nested.label)
        shutil.copytree(nested.tree, release / PARTS, dirs_exist_ok=True)
    shutil.copyfile(found.kernel, release / "vmlinuz")
    _write_settings(found, release)
    return {"kernel": kernel, "lost": lost}


def _write_plugins(found: CoinbootFolder, release: Path) -> dict[str, str | None]:
    """Write the plugins; return what each says to dpkg."""
    return {
        f"plugins/{plugin.name}": take_over(plugin, release / "plugins" / plugin.name, label=f"plugins/{plugin.name}")
        for plugin in found.plugins
    }


def _kernel_of(found: CoinbootFolder, nested: Nested) -> str:
    """Return the version of the kernel that is booted; raise ReleaseError if the root has no modules of it."""
    if found.version in nested.modules or (not found.version and len(nested.modules) == 1):
        return found.version or next(iter(nested.modules))
    raise ReleaseError(
        f"{nested.label} has no modules of the kernel {found.kernel.name}",
        expected=f"lib/modules/{found.version or 'of one version'} in the root",
        found=", ".join(sorted(nested.modules)) or "none",
        hint="take kernel and initramfs of the same build",
    )


def _lists_anew(nested: Nested, kernel: str) -> dict[str, bytes]:
    """Return the modules that only lay beside the root, and depmod(8)'s lists with them, by their names in the root."""
    brought = [name for name in nested.brought if name.startswith(f"{kernel}/")]
    folder = nested.tree / "lib/modules" / kernel
    if not brought:
        return {}
    if not shutil.which("depmod"):
        raise ToolMissingError("depmod is not installed", hint="install the package kmod")
    run_program(("depmod", "-b", str(nested.tree), kernel), bound_s=_DEPMOD_S, failure=ResourceError)
    files = [folder.parent / name for name in brought] + sorted(folder.glob("modules.*"))
    return {f"{nested.modules[kernel]}/{path.relative_to(folder)}": path.read_bytes() for path in files}


def _write_settings(found: CoinbootFolder, release: Path) -> None:
    names = {label: Path(label).name for label in found.settings}
    if not all(name.endswith(_ENV) for name in names.values()):  # which name they are read by decides who wins
        names = {
            label: f"{number:03}-{name.removesuffix(_ENV)}{_ENV}" for number, (label, name) in enumerate(names.items())
        }
    for label, settings in found.settings.items():
        name = names[label]
        path = release / "env" / name
        path.touch(0o600)
        path.write_text(format_env(settings, where=label), errors="surrogateescape")
        if not name.endswith(".secret.env"):
            path.chmod(0o644)
    if found.release_toml is not None:
        shutil.copyfile(found.release_toml, release / "release.toml")
        return
    name = f"coinboot-{found.release}" if found.release not in ("", "latest") else "coinboot"
    lines = [f"name = {json.dumps(name)}", f"cmdline = {json.dumps(' '.join(found.arguments))}"]
    (release / "release.toml").write_text("\n".join(lines) + "\n")


def default_out(folder: Path) -> Path:
    """Return where a folder's release goes if that is not said: beside it."""
    return beside(folder, f"{folder.resolve().name}.release")
