"""Puts the hook's files where a distribution's initramfs generator expects them, with the fleet's trust baked in.

    /usr/lib/swarmboot/    the driver, the units, the runtime image     /etc/swarmboot/   fleet.pub, ca.pem, defaults
    /usr/share/initramfs-tools/{hooks,scripts,conf-hooks.d}/...         /usr/lib/dracut/modules.d/90swarmboot/

and fleet.token, mode 0600, for a fleet that has one. Follows initramfs-tools(7) and dracut.modules(7). It will not
build an initramfs; `seeder.hook.build_initramfs` does.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

from seeder.hook.files import hook_folder, place
from seeder.hook.fit import check_fits
from swarmboot.crypto.fleet_token import format_token, read_tokens
from swarmboot.errors import KeyFileError, MalformedSettingError, ResourceError
from swarmboot.release.key_files import read_trust
from swarmboot.release.trust import format_public
from swarmboot.settings import NAMES, TABLE, build_settings
from swarmboot.text.spelling import did_you_mean

CODE = Path("usr/lib/swarmboot")
CONFIG = Path("etc/swarmboot")
INITRAMFS_TOOLS = Path("usr/share/initramfs-tools")
DRACUT = Path("usr/lib/dracut/modules.d/90swarmboot")
DRACUT_CONFIG = Path("etc/dracut.conf.d/swarmboot.conf")
_DRACUT_CONFIG = """# Made by `swarmboot hook install`: what a kernel's installation builds boots it too.
add_dracutmodules+=" swarmboot "
hostonly="no"
"""
_CODE_FILES = ("*.sh", "seed.service", "seed.socket", "seed.init", "keep.service")
_SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_SECRET_HINT = b"PRIVATE KEY"
TOKEN_NAME = "fleet.token"  # noqa: S105 - a file's name
_NO_DEFAULTS = {
    "fleet_token": "give the token's file with --fleet-token",
    "secrets": "they always go to /etc/swarmboot/secret.env",
}


@dataclass(frozen=True, slots=True)
class Bake:
    """What an initramfs is built with: whom its node believes, how old a release it takes, and other defaults.

    `token` is the file of the fleet token, for a fleet that has one: the initramfs is a secret then.
    """

    trust: tuple[Path, ...]
    authority: Path | None
    floor: int = 0
    built_unix_s: int = field(default_factory=lambda: int(time.time()))
    defaults: dict[str, str] = field(default_factory=dict)
    token: Path | None = None


def runtime_under(root: Path) -> Path:
    """Return where the runtime image of a system lies."""
    return root / CODE / "runtime.squashfs"


def install_code(root: Path, runtime: Path) -> None:
    """Put the driver, the units and the runtime image under `root`.

    Raises ResourceError if the runtime is not there, or is not for the system that `root` holds.
    """
    libraries = check_runtime(runtime, root=root)
    install_code_files(root)
    installed = runtime_under(root)
    for source, target in ((libraries, installed.with_suffix(".libraries")), (runtime, installed)):
        place(target, source.read_bytes(), mode=0o644)


def check_runtime(runtime: Path, *, root: Path) -> Path:
    """Return the list of libraries that belongs to a runtime image which fits the system in `root`.

    Raises ResourceError if either file is missing, or the image is for another machine type or distribution.
    """
    libraries = runtime.with_suffix(".libraries")
    if not runtime.is_file() or not libraries.is_file():
        raise ResourceError(f"{runtime} or its .libraries is missing", hint="run: swarmboot hook build-runtime")
    check_fits(runtime, libraries.read_text().split(), root=root)
    return libraries


def install_code_files(root: Path) -> None:
    """Put the driver and the units under `root`."""
    for pattern in _CODE_FILES:
        for source in sorted(hook_folder().glob(pattern)):
            mode = 0o644 if source.suffix in (".service", ".socket") else 0o755
            place(root / CODE / source.name, source.read_bytes(), mode=mode)


def config_files(bake: Bake) -> dict[str, tuple[bytes, int]]:
    """Return what belongs into /etc/swarmboot, content and mode by name, with everything checked and nothing written.

    Raises KeyFileError or SettingsError for what is unusable.
    """
    keys = read_trust(bake.trust)
    files = {
        "fleet.pub": (format_public(keys.keys.values(), threshold=keys.threshold).encode(), 0o644),
        "ca.pem": (_authority(authority_of(bake)), 0o644),
        "defaults": (_defaults(bake).encode(), 0o644),
    }
    if bake.token is not None:
        text = "".join(format_token(token.secret) for token in read_tokens(bake.token))
        files[TOKEN_NAME] = (text.encode(), 0o600)
    return files


def install_config(root: Path, bake: Bake) -> None:
    """Put the fleet's trust and the defaults under `root`, all of it or, if anything is unusable, none."""
    files = config_files(bake)
    for name, (data, mode) in files.items():
        place(root / CONFIG / name, data, mode=mode)
    if TOKEN_NAME not in files:
        (root / CONFIG / TOKEN_NAME).unlink(missing_ok=True)


def authority_of(bake: Bake) -> Path:
    """Return the file of the authorities that nodes believe: the one that was given, or all that this machine knows."""
    return bake.authority or _SYSTEM_AUTHORITIES


def _authority(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        ssl.create_default_context(cadata=data.decode())
    except (OSError, ssl.SSLError, UnicodeDecodeError) as error:
        raise KeyFileError(
            f"the certificate authority {path} cannot be used: {error}",
            expected="certificates in PEM",
            hint="give the ca.pem that `swarmboot serve` made with --ca",
        ) from error
    if _SECRET_HINT in data:
        raise KeyFileError(f"{path} holds a private key, and an initramfs is public", hint="give the certificate alone")
    return data


def _defaults(bake: Bake) -> str:
    """Return the file of baked defaults, every name and value checked against the settings table."""
    for name in bake.defaults:
        if name not in NAMES:
            names = sorted(setting.name for setting in TABLE)
            raise MalformedSettingError(
                f"--default {name} is no setting", expected=", ".join(names), hint=did_you_mean(name, names)
            )
        if name in _NO_DEFAULTS:
            raise MalformedSettingError(f"--default {name} cannot be baked in", hint=_NO_DEFAULTS[name])
    baked = {
        **bake.defaults,
        "trust": "/etc/swarmboot/fleet.pub",
        "ca": "/etc/swarmboot/ca.pem",
        "floor": str(bake.floor),
        "clock": str(bake.built_unix_s),
        **({"fleet_token": f"/etc/swarmboot/{TOKEN_NAME}"} if bake.token else {}),
    }
    build_settings(baked)
    lines = (f"{name}={value}\n" for name, value in baked.items())
    return "".join(("# Baked by `swarmboot hook install`; the kernel command line goes over it.\n", *lines))


def install_initramfs_tools(root: Path) -> None:
    """Put the adapter for initramfs-tools under `root`."""
    _copy_adapter(hook_folder() / "initramfs-tools", root / INITRAMFS_TOOLS)


def install_dracut(root: Path) -> None:
    """Put the dracut module under `root`, and what has every later run of dracut add it."""
    install_dracut_module(root)
    place(root / DRACUT_CONFIG, _DRACUT_CONFIG.encode(), mode=0o644)


def install_dracut_module(root: Path) -> None:
    """Put the dracut module under `root`."""
    _copy_adapter(hook_folder() / "dracut", root / DRACUT)


def _copy_adapter(source: Path, to: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            place(to / path.relative_to(source), data, mode=0o755 if data.startswith(b"#!") else 0o644)
