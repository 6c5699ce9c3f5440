"""An empty release directory, for somebody's first: what goes where is written where it goes."""

from __future__ import annotations

from pathlib import Path

from swarmboot.errors import UnreadableError

NEXT = "put rootfs.squashfs there (and vmlinuz and initramfs.img), then: swarmboot publish {folder}"
_FILES = {
    "release.toml": """\
# What people call this release; the directory's name without it.
# name = "debian-13"

# Kernel arguments, for whoever writes the loader's entry.
# cmdline = "quiet"

# What nodes are called. Names, racks and files of single ones go into nodes/: docs/release.md.
# hostname = "node-{mac_dashes}"

# What outlives a boot: a file system of a node's own disk, or a folder of an NFS server, mounted at storage_at.
# storage = "LABEL=data"
# storage_at = "/srv"
# storage_type = "ext4"

# What plugins may bring beyond plain files: "setuid", "devices".
# allow = []

# Some nodes get something else; the first profile that fits is a node's.
# [[profiles]]
# name = "gpu"
# macs = ["52:54:00:*"]
# plugins = ["20-gpu.squashfs"]
# env = { ROLE = "gpu" }
""",
    "env/site.env": """\
# Settings for all nodes, a KEY=value a line; they end up in /etc/environment. Secret ones go into NAME.secret.env.
# ROLE=compute
""",
}
_FOLDERS = ("env", "plugins")


def make(folder: Path) -> list[Path]:
    """Make the directory and return what was made; raise UnreadableError if there is something in it already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "a folder with something in it" if folder.is_dir() else "no folder"
        raise UnreadableError(f"{folder} is there already", expected="an empty folder, or none", found=found)
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text)
    return [folder / name for name in (*_FILES, "plugins")]
