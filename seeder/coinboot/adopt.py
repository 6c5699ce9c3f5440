"""Takes Coinboot's server folder over into a release directory, whole or not at all, and the same one every time.

    vmlinuz, rootfs.squashfs, plugins/*.tar.gz, env/*.env, release.toml      what `publish` takes
    .coinboot/lib/modules/, .coinboot/boot/                                  what `hook build-initramfs --modules` takes

The directory is made beside its place and renamed. A stamp in it says what it was made of: made of the same, it stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seeder.coinboot.dpkg_status import merge
from seeder.coinboot.folder import CoinbootFolder
from seeder.coinboot.nested import STATUS, Nested, open_nested
from seeder.coinboot.plugin import take_over
from seeder.coinboot.root_image import write_root_image
from seeder.coinboot.shell_env import format_env
from swarmboot import __version__
from swarmboot.errors import ReleaseError, ResourceError, ToolMissingError, UnreadableError
from swarmboot.host.programs import run_program

STAMP = ".coinboot/made-of.json"
PARTS = ".coinboot"
_FORMAT = 1
_DEPMOD_S = 600
_ENV = ".env"


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a folder. `lost` is a line for each thing that was not taken over."""

    release: Path
    is_new: bool
    kernel: str
    plugins: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def modules(self) -> Path:
        """Return the folder with the kernel's modules, as `hook build-initramfs --modules` takes it."""
        return self.release / PARTS

    @property
    def initramfs(self) -> Path:
        """Return where the release's initramfs is, or is to be."""
        return self.release / "initramfs.img"


def adopt(found: CoinbootFolder, out: Path, *, say: Callable[[str], None]) -> Adopted:
    """Make the release directory `out`, still without an initramfs.

    Raises ReleaseError for what cannot be read, ResourceError or ToolMissingError if a step cannot be done, and
    UnreadableError if `out` was not made here, or would be made anew and holds what somebody has put there.
    """
    stamp, made = _stamp(found), _read_stamp(out)
    is_new = made.get("of") != stamp
    if is_new:
        _check_unchanged(out, made.get("files"))
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work:
            new = Path(work, "release")
            made = {"of": stamp, **_make(found, new, say), "files": _files(new)}
            (new / STAMP).write_text(json.dumps(made))
            if out.exists():
                out.rename(Path(work, "old"))
            new.rename(out)
    plugins = tuple(plugin.name for plugin in found.plugins)
    return Adopted(out, is_new, str(made["kernel"]), plugins, (*found.lost, *_listed(made["lost"])))


def _listed(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _read_stamp(out: Path) -> dict[str, object]:
    """Return the stamp of a directory that was made here, nothing without one; raise UnreadableError for another."""
    try:
        values = json.loads((out / STAMP).read_bytes())
    except (OSError, ValueError):
        values = {}
    if not values and out.is_dir() and any(out.iterdir()):
        raise UnreadableError(
            f"{out} is there already", expected="an empty folder, or one that this command made",
            found="a folder of something else", hint="choose another with --out",
        )  # fmt: skip
    return values if isinstance(values, dict) else {}


def _files(release: Path) -> dict[str, list[int]]:
    """Return size and time of each file that was made here, the initramfs apart, which may be built by hand."""
    found = {str(path.relative_to(release)): path.lstat() for path in release.rglob("*") if not path.is_dir()}
    own = {name: status for name, status in found.items() if not name.startswith((f"{PARTS}/", "initramfs.img"))}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in own.items()}


def _check_unchanged(out: Path, made: object) -> None:
    """Raise UnreadableError if a directory that is going to be made anew holds what was not made here."""
    known = made if isinstance(made, dict) else {}
    if others := sorted(name for name, facts in _files(out).items() if known.get(name) != facts):
        raise UnreadableError(
            f"{out} would be made anew, and {others[0]} in it is somebody's own",
            expected="only what this command has made",
            found=f"{len(others)} files that it has not",
            hint="put them into Coinboot's folder, or choose another with --out",
        )


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
    for name in ("plugins", "env", PARTS):
        (release / name).mkdir(parents=True)
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
    real = Path(os.path.realpath(folder))
    return real.with_name(f"{real.name}.release")
