"""Whether a root can be booted: its init, what starts that, and what was left in it by where it came from. Pure.

Judges as the node does before it switches root (`swarmboot_check_init` in the hook's driver) and as execve(2) does.
"""

from __future__ import annotations

import re

from seeder.publish.check.finding import Finding, fatal, some
from seeder.publish.check.readers.tree import Layer, Tree
from seeder.publish.nodes.layers import MACHINE_IDS

INITS = ("/sbin/init", "/etc/init", "/bin/init")
"""What is started without `init=`; the kernel would try /bin/sh too, which is no system."""

_INTERPRETERS_MAX = 5
_RUNS = {"x86-64": {"x86-64", "x86"}, "arm64": {"arm64", "arm"}}
_LIVE = re.compile(r"(?:LiveOS|live|casper)/.*(?:\.squashfs|\.img|\.erofs)\Z")
_DISK = re.compile(r"(?:UUID|LABEL|PARTUUID|PARTLABEL)=|/dev/(?:sd|hd|vd|xvd|nvme|mmcblk|md|mapper/|disk/|[^/]+/[^/]+)")
_MACHINE_ID_BYTES = 32


def init_of(cmdline: str) -> str:
    """Return which init a command line names, the last one as the kernel takes it; nothing if it names none."""
    named = [word.replace('"', "")[5:] for word in cmdline.split() if word.replace('"', "").startswith("init=")]
    return named[-1] if named else ""


def check_init(tree: Tree, root: Layer, *, cmdline: str, machine: str) -> list[Finding]:
    """Return why the tree's init cannot be started with a command line, by a kernel for `machine` if that is known."""
    named = init_of(cmdline)
    paths = (named,) if named else INITS
    started = next((real for path in paths if _is_program(tree, real := tree.resolve(path))), None)
    if started is None:
        return [_no_init(tree, root, paths)]
    return _check_started(tree, started, machine=machine)


def _is_program(tree: Tree, path: str | None) -> bool:
    found = tree.find(path) if path else None
    return found is not None and found[1].is_program


def _no_init(tree: Tree, root: Layer, paths: tuple[str, ...]) -> Finding:
    if live := live_images(root):
        return fatal(
            f"{root.label} holds a live system's image and no system",
            expected=f"{paths[0]} in it",
            found=some(live),
            hint="publish what is inside that image as the root image",
        )
    there = [path for path in paths if tree.resolve(path) is not None]
    return fatal(
        f"{root.label} has no init",
        expected=f"{' or '.join(paths)} to be a program",
        found=f"{there[0]}, which is no file that may be executed" if there else "none",
        hint="publish the root of a whole system, or name its init in cmdline: init=/path",
    )


def _check_started(tree: Tree, path: str, *, machine: str) -> list[Finding]:
    """Return why a program cannot be started; its interpreters are looked at in turn."""
    for _ in range(_INTERPRETERS_MAX):
        found = tree.find(path)
        assert found is not None
        label, program = found[0].label, found[0].program(path)
        if program is None:
            return [fatal(f"{label} has an init, /{path}, that is neither a program nor a script")]
        if program.machine and machine and program.machine not in _RUNS.get(machine, {machine}):
            return [
                fatal(
                    f"{label} is for another machine than the kernel",
                    expected=f"/{path} for {machine}",
                    found=program.machine,
                    hint="publish the kernel and the root of one architecture",
                )
            ]
        if not program.interpreter:
            return []
        interpreter = tree.resolve(program.interpreter)
        if interpreter is None or not _is_program(tree, interpreter):
            return [
                fatal(
                    f"{label} lacks what starts /{path}",
                    expected=f"{program.interpreter}, which it names",
                    found="nothing that may be executed there",
                    hint="publish the root of a whole system; does it have its /lib and /lib64?",
                )
            ]
        path = interpreter
    return []


def live_images(root: Layer) -> list[str]:
    """Return the images of a live system that a root holds: what a boot medium has, and no system."""
    return sorted(path for path, inode in root.inodes.items() if inode.kind == "file" and _LIVE.match(path))


def check_leftovers(root: Layer) -> list[Finding]:
    """Return notes of what an installed machine or a boot medium has left in a root."""
    notes = []
    if live := live_images(root):
        notes.append(
            Finding(f"{root.label} holds a live system's image", found=some(live), hint="does it belong there?")
        )
    if disks := _disks(root.text("etc/fstab") if "etc/fstab" in root.inodes else ""):
        notes.append(
            Finding(
                f"{root.label} mounts an installed machine's disks: nodes wait for them, then stop in emergency mode",
                expected="no disks in /etc/fstab, or the option nofail",
                found=some(disks),
                hint="take them out of /etc/fstab",
            )
        )
    held = [(path, root.inodes[path]) for path in MACHINE_IDS if path in root.inodes]
    if shared := [path for path, inode in held if inode.kind == "file" and inode.size_bytes >= _MACHINE_ID_BYTES]:
        notes.append(
            Finding(
                f"{root.label} holds a machine-id, which all nodes will share: with DHCP by DUID even their address",
                found=some(shared),
                hint="empty /etc/machine-id and remove /var/lib/dbus/machine-id, which systemd takes in its place",
            )
        )
    if keys := sorted(path for path in root.inodes if re.fullmatch(r"etc/ssh/ssh_host_[^/]*_key", path)):
        notes.append(
            Finding(
                f"{root.label} holds ssh host keys, which whoever fetches the image then has",
                found=some(keys),
                hint="remove them, and have each node make its own",
            )
        )
    return notes


def _disks(fstab: str) -> list[str]:
    rows = (line.split() for line in fstab.splitlines())
    rows_set = (row for row in rows if len(row) >= 3 and not row[0].startswith("#"))
    return [
        f"{row[0]} on {row[1]}"
        for row in rows_set
        if _DISK.match(row[0]) and not {"noauto", "nofail"} & set((row[3] if len(row) > 3 else "").split(","))
    ]
