"""What a file of an initramfs is for: to which group it belongs, and of modules and firmware their own names. Pure."""

from __future__ import annotations

import re

_MODULE = re.compile(r"(?:usr/)?lib/modules/([^/]+)/(.+)\.ko(?:\.(?:xz|zst|gz))?")
_FIRMWARE = re.compile(r"(?:usr/)?lib/firmware/(.+?)(?:\.(?:xz|zst))?")
EARLY = "kernel/"
"""Below this lies what the kernel itself looks for before it unpacks anything: microcode and ACPI tables."""
RUNTIME = "usr/lib/swarmboot/runtime.squashfs"

_MODULES = (
    ("drivers of network cards", r"drivers/net/(?:ethernet|phy|mdio|pcs|usb|virtio_net|vmxnet3|hyperv|fddi|xen)"),
    ("other network modules", r"drivers/net/|net/"),
    (
        "modules for disks",
        r"drivers/(?:ata|scsi|md|nvme|block|mmc|mtd|memstick|firewire|target|message|ufs|usb/storage)/",
    ),
    ("file systems", r"fs/"),
    ("graphics, video, sound", r"drivers/(?:gpu|video|media|staging)/|sound/"),
    ("USB and keyboards", r"drivers/(?:usb|hid|input)/"),
    ("cryptography modules", r"crypto/|arch/[^/]+/crypto/|lib/crypto/|drivers/crypto/"),
)
_FILES = (
    ("microcode", EARLY),
    ("swarmboot's runtime", re.escape(RUNTIME)),
    ("swarmboot's own files", r"usr/lib/swarmboot/|etc/swarmboot/"),
    ("firmware", r"(?:usr/)?lib/firmware/"),
    ("lists of modules", r"(?:usr/)?lib/modules/"),
    ("the hardware database", r"(?:.*/)?hwdb"),
    (
        "systemd and udev",
        (
            r"(?:usr/)?lib/(?:systemd|udev)/|(?:usr/)?s?bin/(?:systemd|systemctl|udev|journal|networkctl|resolvectl)"
            r"|(?:usr/)?lib(?:64)?/(?:[^/]+/)?systemd/libsystemd-"
        ),
    ),
    ("libraries", r"(?:usr/)?lib(?:32|64|x32)?/(?:.*/)?[^/]*\.so(?:\.[0-9.]+)?\Z"),
    ("other programs", r"(?:usr/)?s?bin/|usr/lib/klibc"),
)


def module_of(path: str) -> str:
    """Return the place of a module below its kernel's version, without `.ko`; nothing if the file is no module."""
    found = _MODULE.fullmatch(path)
    return found[2] if found else ""


def kernel_of(path: str) -> str:
    """Return for which kernel version a module is; nothing if the file is no module."""
    found = _MODULE.fullmatch(path)
    return found[1] if found else ""


def name_of(module: str) -> str:
    """Return a module's name as modprobe(8) has it: one sign for `-` and `_`."""
    return module.rpartition("/")[2].replace("-", "_")


def firmware_of(path: str, kernel: str) -> str:
    """Return by what name a driver asks for a file of firmware, nothing if the file is none.

    Follows the kernel's Documentation/driver-api/firmware/fw_search_path.rst and firmware-usage-guidelines.rst.
    """
    found = _FIRMWARE.fullmatch(path)
    if not found:
        return ""
    name = found[1]
    for folder in (f"updates/{kernel}/", "updates/", f"{kernel}/"):
        if name.startswith(folder):
            return name.removeprefix(folder)
    return name


def group_of(path: str) -> str:
    """Return the group of a file: those of modules by subsystem."""
    if module := module_of(path):
        place = module.removeprefix("kernel/")
        return next((group for group, pattern in _MODULES if re.match(pattern, place)), "other modules")
    return next((group for group, pattern in _FILES if re.match(pattern, path)), "the rest")
