"""What Coinboot's server folder holds: kernel, initramfs, plugins, settings, and what nothing here stands for.

    boot/coinboot-vmlinuz-VERSION, coinboot-initramfs-VERSION, links vmlinuz and initramfs    also beside one another
    plugins/enabled/*.tar.gz, or plugins/*.tar.gz      conf/environment/*, or environment/*      boot/coinboot.ipxe

As github.com/frzb/coinboot has it (server/docker-compose.yml mounts boot/ at /var/lib/tftpboot, conf/environment/ at
/srv/environment and plugins/enabled/ at /srv/plugins; server/docker/coinboot-download-helper names the files and makes
the links as its container sees them). Nothing is unpacked here and nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from seeder.coinboot.ipxe_script import kernel_arguments
from seeder.coinboot.shell_env import parse_shell_env
from swarmboot.errors import EscapeError, ReleaseError, UnreadableError
from swarmboot.host.text_files import read_text

KERNEL, INITRAMFS = "coinboot-vmlinuz-", "coinboot-initramfs-"
_SCRIPT = "coinboot.ipxe"
_ROOT = "rootfs."
"""What a release directory has, and Coinboot's server folder has not."""
_BOOT = ("boot", "tftpboot", ".")
_ENVIRONMENT = ("conf/environment", "environment")
_PLUGINS = ("plugins/enabled", "plugins")
_PLUGIN_FORMAT = ".tar.gz"
_LINKS = {"vmlinuz": KERNEL, "initramfs": INITRAMFS}
_OWN = ("release.toml",)
_LOST = {
    "conf/dnsmasq": "DHCP is `swarmboot serve --pxe` or your own server (docs/stage0.md)",
    "docker-compose": "containers: `swarmboot unit install` makes a service (docs/service.md)",
    "docker": "containers: `swarmboot unit install` makes a service (docs/service.md)",
    "conf/": "logs and figures: docs/operating.md and docs/monitoring.md",
}


@dataclass(frozen=True, slots=True)
class CoinbootFolder:
    """A server folder as read. `version` is the kernel's, empty if its file's name does not say; paths are resolved.

    `settings` are those of each file in name order; `arguments` are the kernel's; `lost` is a line for each thing that
    is not taken over.
    """

    folder: Path
    kernel: Path
    initramfs: Path
    version: str
    plugins: tuple[Path, ...]
    settings: dict[str, dict[str, str]]
    arguments: tuple[str, ...] = ()
    release_toml: Path | None = None
    lost: tuple[str, ...] = field(default=())

    @property
    def release(self) -> str:
        """Return what RELEASE says in the settings, or nothing."""
        return _variable(self.settings.values(), "RELEASE")


def is_coinboot(folder: Path) -> bool:
    """Return whether this is Coinboot's server folder, by what Coinboot alone has in it."""
    return _boot(folder) is not None and not any(name.startswith(_ROOT) for name in _names(folder))


def _boot(folder: Path) -> str | None:
    """Return which of its folders holds kernel and initramfs, or None."""
    for name in _BOOT:
        if any(each.startswith((KERNEL, INITRAMFS)) or each == _SCRIPT for each in _names(folder / name)):
            return name
    return None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except NotADirectoryError:
        return []
    except FileNotFoundError:
        return []


def read_coinboot(folder: Path) -> CoinbootFolder:
    """Return what the folder holds; raise ReleaseError, EscapeError or UnreadableError for what cannot be read."""
    return _Reader(folder).read()


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = Path(os.path.realpath(folder))
        self._boot = _boot(folder) or "."
        self._environment = next((name for name in _ENVIRONMENT if (folder / name).is_dir()), _ENVIRONMENT[0])
        self._plugins = next((name for name in _PLUGINS if (folder / name).is_dir()), _PLUGINS[0])
        self._mounts = {"/var/lib/tftpboot": self._boot, "/srv/environment": self._environment}
        self._mounts["/srv/plugins"] = self._plugins
        self._used: set[str] = set()
        self._lost: list[str] = []

    def read(self) -> CoinbootFolder:
        """Return all of it."""
        settings = self._settings()
        version = self._version(settings)
        kernel, initramfs = self._image("vmlinuz", version), self._image("initramfs", version)
        plugins = tuple(self._plugin_files())
        arguments = self._arguments()
        own = self._folder / _OWN[0]
        return CoinbootFolder(
            folder=self._folder,
            kernel=kernel,
            initramfs=initramfs,
            version=version,
            plugins=plugins,
            settings=settings,
            arguments=arguments,
            release_toml=own if own.is_file() else None,
            lost=(*self._lost, *self._left()),
        )

    def _file(self, label: str) -> Path:
        """Return a file, links followed as Coinboot's container would; raise EscapeError if they lead out of here."""
        self._used.add(os.path.normpath(label))
        path = self._folder / label
        for _ in range(40):
            if not path.is_symlink():
                break
            target = path.readlink()
            seen = next((mount for mount in self._mounts if target.is_relative_to(mount)), None)
            path = self._folder / self._mounts[seen] / target.relative_to(seen) if seen else path.parent / target
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._real):
            raise EscapeError(
                f"{label} is a link that leads out of the folder",
                expected=f"a file inside {self._folder}, or below /var/lib/tftpboot, /srv/environment or /srv/plugins",
                found=str(real),
                hint="copy the file into the folder",
            )
        if not real.is_file():
            found = "something else" if real.exists() else f"no {real.relative_to(self._real)}"
            raise UnreadableError(f"{label} is not there", expected="a file", found=found)
        self._used.add(str(real.relative_to(self._real)))
        return real

    def _settings(self) -> dict[str, dict[str, str]]:
        labels = [f"{self._environment}/{name}" for name in _names(self._folder / self._environment)]
        return {label: parse_shell_env(self._text(label), where=label) for label in labels}

    def _text(self, label: str) -> str:
        return read_text(self._file(label), label=label)

    def _version(self, settings: dict[str, dict[str, str]]) -> str:
        """Return the kernel's version: where the link vmlinuz leads, what KERNEL says, or the only one there is."""
        link = self._folder / self._boot / "vmlinuz"
        if link.is_symlink():
            return _after(link.readlink().name, KERNEL)
        if link.exists():
            return ""
        found = sorted({_after(name, KERNEL) for name in _names(self._folder / self._boot) if name.startswith(KERNEL)})
        wanted = _variable(settings.values(), "KERNEL")
        if wanted in found or (not wanted and len(found) == 1):
            return wanted or found[0]
        raise ReleaseError(
            f"{self._folder / self._boot} does not say which kernel it boots",
            expected=f"{KERNEL}{wanted}" if wanted else f"one {KERNEL}VERSION, or a link vmlinuz to the right one",
            found=", ".join(found) or "none",
            hint="make the link, or set KERNEL in the environment",
        )

    def _image(self, link: str, version: str) -> Path:
        plain = f"{self._boot}/{link}"
        is_there = (self._folder / plain).exists() or (self._folder / plain).is_symlink()
        named = f"{self._boot}/{_LINKS[link]}{version}"
        found = self._file(plain if is_there else named)
        other = _after(found.name, _LINKS[link])
        if version and other and other != version:
            raise ReleaseError(
                f"{plain} is another kernel's", expected=f"{_LINKS[link]}{version}", found=found.name,
                hint="make both links lead to the same version",
            )  # fmt: skip
        return found

    def _plugin_files(self) -> Iterable[Path]:
        for name in _names(self._folder / self._plugins):
            label = f"{self._plugins}/{name}"
            if name.endswith(_PLUGIN_FORMAT):
                yield self._file(label)
            elif not (self._folder / label).is_dir():
                self._lose(label, f"no plugin: not a {_PLUGIN_FORMAT}")

    def _arguments(self) -> tuple[str, ...]:
        label = f"{self._boot}/{_SCRIPT}"
        if _SCRIPT not in _names(self._folder / self._boot):
            return ()
        kept, dropped = kernel_arguments(self._text(label))
        if dropped:
            self._lose(f"{label}: {' '.join(dropped)}", "Coinboot's own arguments, or filled in by its iPXE")
        return kept

    def _lose(self, label: str, why: str) -> None:
        self._used.add(label)
        self._lost.append(f"{os.path.normpath(label)}: {why}")

    def _left(self) -> list[str]:
        """Return a line for each file and folder that nothing was made of, no deeper than two folders down."""
        kept = (*_OWN, *(os.path.normpath(name) for name in (self._boot, self._environment)))
        lines = []
        tops = _names(self._folder)
        inner = [
            f"{top}/{name}" for top in ("boot", "tftpboot", "conf", "plugins") for name in _names(self._folder / top)
        ]
        for label in [name for name in tops if name not in ("boot", "tftpboot", "conf", "plugins")] + inner:
            is_used = label in self._used or label in kept or f"{self._plugins}/".startswith(f"{label}/")
            if not is_used:
                why = next((why for start, why in _LOST.items() if label.startswith(start)), "")
                lines.append(f"{label}: {why or _default_reason(label)}")
        return lines


def _default_reason(label: str) -> str:
    if label.endswith((".kpxe", ".efi", ".pxe")):
        return "a loader: `swarmboot serve --pxe` brings iPXE"
    if label.startswith("plugins/"):
        return "not enabled"
    return "nothing here stands for it"


def _after(name: str, start: str) -> str:
    return name.removeprefix(start) if name.startswith(start) else ""


def _variable(files: Iterable[dict[str, str]], name: str) -> str:
    found = ""
    for settings in files:
        found = settings.get(name, found)
    return found
