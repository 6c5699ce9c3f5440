"""`swarmboot trace record`: a release is booted once, in QEMU, from a seeder of its own, and hands in what it has read.

The machine has a network of its own (QEMU's user network, restrict=on) that leads to that seeder and nowhere else. The
release is signed with a key made for this boot, which the machine believes because a cpio archive behind its initramfs
says so; its secret settings and files are left out. Nothing is kept but the trace.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from seeder.http.authority import issue_certificate
from seeder.publish.publish import PublishOptions, publish
from seeder.publish.release_dir import Release, read_release
from seeder.record.place import read_address
from seeder.serve.node_traces import TRACES, kept
from seeder.site.progress import choose_progress
from seeder.site.writer import writing
from seeder.squashfs.reader import read_squashfs
from seeder.squashfs.repack import check_can_repack, repack_apart
from seeder.stage0.rack_map import node_image
from seeder.trace import relay
from seeder.trace.export import by_files
from swarmboot.errors import PrivilegeError, ReleaseError, ResourceError, ToolMissingError
from swarmboot.host.programs import last_words
from swarmboot.release.key_files import read_private, write_pair
from swarmboot.release.manifest import UNIFIED, Role

QEMU = "qemu-system-x86_64"
_SEEDER_AT, _PORT = "10.0.2.100", 8470
_KVM_S, _LOOK_S, _END_S = 5.0, 0.5, 10.0
_SERVER_S = 60.0
_EMULATED_CPU, _EMULATED_WORDS = "max,-erms,-fsrm", " init_on_alloc=0"
"""Emulation clears pages byte by byte with `rep stosb`, and pages that held code slower still."""
_LINE = re.compile(r"swarmboot: (.*)")
_NEVER = ("FUSE is not there", "FUSE cannot be mounted", "images cannot be read before they are whole")


@dataclass(frozen=True, slots=True)
class Recording:
    """How a release is booted: for how long at most, memory in MiB (0: by the size of its images), whose profile."""

    within_s: float
    memory_mib: int = 0
    profile: str = ""


def record(folder: Path, how: Recording, *, tell: Callable[[str], None]) -> tuple[str, list[str]]:
    """Return the trace of a release's boot, by files, and what is to be said of it.

    Raises ToolMissingError without QEMU, ReleaseError for a release that cannot be booted like this, ResourceError if
    its boot does not end.
    """
    if not shutil.which(QEMU):
        raise ToolMissingError(f"{QEMU} is not installed", hint="apt-get install qemu-system-x86")
    release = read_release(folder)
    kernel, initramfs = _stage0(release)
    with tempfile.TemporaryDirectory(prefix="swarmboot-record.") as name:
        work = Path(name)
        tell("publishing the release for this boot")
        authority = issue_certificate(work / "state", [_SEEDER_AT]).authority
        assert authority is not None
        release = _apart(release, work, tell)
        public = _publish(release, work)
        bundle = work / "initramfs"
        bundle.write_bytes(trusting(initramfs.read_bytes(), public.read_bytes(), authority.read_bytes()))
        with _serving(work) as port:
            words = _qemu(release, how, kernel, bundle, port)
            _boot(words, work, how, tell)
        return by_files(work / "state" / TRACES / str(kept(work / "state")[0]), work / "site", 1)


def _stage0(release: Release) -> tuple[Path, Path]:
    found = {file.role: file for file in release.files}
    kernel, initramfs = found.get(Role.KERNEL), found.get(Role.INITRAMFS)
    if kernel is None or initramfs is None or kernel.format == UNIFIED:
        raise ReleaseError(
            f"{release.folder} cannot be booted by QEMU alone", expected="vmlinuz and initramfs.img in it",
            hint="put them there, the initramfs with the hook and --default lazy=on",
        )  # fmt: skip
    return kernel.path, initramfs.path


def _apart(release: Release, work: Path, tell: Callable[[str], None]) -> Release:
    """Return the release with images in which no two files share a block: bytes then tell which of them was read.

    Where that cannot be done it says so, and an image stays as it is.
    """
    files = list(release.files)
    for at, file in enumerate(files):
        if file.role not in (Role.ROOT, Role.PLUGIN) or file.format != "squashfs":
            continue
        folder = work / f"image-{at}"
        folder.mkdir(mode=0o700)
        try:
            check_can_repack()
            path = repack_apart(file.path, read_squashfs(file.path, label=file.label), folder=folder)
        except (PrivilegeError, ToolMissingError, ReleaseError) as error:
            shutil.rmtree(folder)
            tell(f"files that share a block of {file.label} will all be named where one is read: {error.what}")
        else:
            files[at] = replace(file, path=path, size_bytes=path.stat().st_size)
    return replace(release, files=tuple(files))


def _publish(release: Release, work: Path) -> Path:
    """Publish the release with a key of this boot's own, and return its public half."""
    private, public = write_pair(work / "keys")
    with writing(work / "site") as writer:
        publish(
            without_secrets(release), [read_private(private)], writer=writer, options=PublishOptions(),
            now_unix_s=time.time(), progress=choose_progress("hashed", is_quiet=True),
        )  # fmt: skip
    return public


def without_secrets(release: Release) -> Release:
    """Return a release without what reaches nodes only with a fleet token."""
    return replace(release, secret_env={}, node_secrets={}, settings=replace(release.settings, secret_env={}))


def trusting(initramfs: bytes, public: bytes, authority: bytes) -> bytes:
    """Return an initramfs in which the machine believes this boot's keys, whatever it was built to believe."""
    baked = "trust=/etc/swarmboot/fleet.pub\nca=/etc/swarmboot/ca.pem\nfloor=0\nlazy=on\ntrace=on\n"
    files = {"fleet.pub": public, "ca.pem": authority, "defaults": baked.encode()}
    archive = node_image({f"etc/swarmboot/{name}": (0o644, data) for name, data in files.items()})
    return initramfs + bytes(-len(initramfs) % 512) + archive


@contextmanager
def _serving(work: Path) -> Iterator[int]:
    """Serve the site on loopback while the block lasts, and give the port."""
    state = work / "state"
    command = (
        sys.executable, "-m", "swarmboot", "serve", str(work / "site"), "--listen", "127.0.0.1:0",
        "--state", str(state), "--uplink", "1gbit", "--name", _SEEDER_AT,
    )  # fmt: skip
    with (work / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        until_s = time.monotonic() + _SERVER_S
        while (serving := read_address(state)) is None:
            if process.poll() is not None or time.monotonic() > until_s:
                said = last_words((work / "serve.log").read_text(errors="replace"))
                raise ResourceError("the seeder for this boot did not start", found=said)
            time.sleep(_LOOK_S)
        yield int(serving.server.rpartition(":")[2])
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def has_kvm() -> bool:
    """Return whether KVM makes a machine, within a few seconds: some have its device, and it hangs or is broken."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    process = subprocess.Popen(
        (QEMU, "-accel", "kvm", "-cpu", "host", "-display", "none", "-nodefaults", "-S", "-monitor", "stdio"),
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as monitor:
        monitor.write(b"quit\n")
    try:
        return process.wait(_KVM_S) == 0
    except subprocess.TimeoutExpired:
        process.kill()  # and not waited for: what hangs in the kernel ends when that lets it
        return False


def _qemu(release: Release, how: Recording, kernel: Path, initramfs: Path, port: int) -> tuple[str, ...]:
    images_mib = sum(file.size_bytes for file in release.files if file.role in (Role.ROOT, Role.PLUGIN)) >> 20
    memory = how.memory_mib or max(1024, 768 + 2 * images_mib)
    cmdline = (
        f"{release.settings.cmdline} console=ttyS0 swarmboot.server=https://{_SEEDER_AT}:{_PORT} swarmboot.trace=on "
        f"swarmboot.lazy=on swarmboot.discovery=off {f'swarmboot.profile={how.profile}' if how.profile else ''}"
    ).strip()
    command = f"{sys.executable} -I {relay.__file__} {port}".replace(",", ",,")
    forward = f"guestfwd=tcp:{_SEEDER_AT}:{_PORT}-cmd:{command}"
    is_fast = has_kvm()
    accelerator = ("-accel", "kvm", "-cpu", "host") if is_fast else ("-accel", "tcg", "-cpu", _EMULATED_CPU)
    cmdline += "" if is_fast else _EMULATED_WORDS
    return (
        QEMU, *accelerator, "-m", str(memory), "-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio",
        "-device", "virtio-rng-pci", "-kernel", str(kernel), "-initrd", str(initramfs), "-append", cmdline,
        "-netdev", f"user,id=n,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=n,romfile=",
    )  # fmt: skip


def _boot(command: tuple[str, ...], work: Path, how: Recording, tell: Callable[[str], None]) -> None:
    """Boot until a trace is there; raise ResourceError or ReleaseError, with the last words, if none comes."""
    console, until_s, said = work / "console", time.monotonic() + how.within_s, 0
    tell(f"booting it with {command[2]}")
    with console.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        while not kept(work / "state"):
            time.sleep(_LOOK_S)
            lines = _LINE.findall(console.read_text(errors="replace"))
            for line in lines[said:]:
                tell(line.strip())
            if refusal := next((line for line in lines[said:] if any(words in line for words in _NEVER)), ""):
                raise ReleaseError(
                    "this release's machine cannot say what it reads", found=refusal.strip(),
                    hint="build its initramfs with --default lazy=on, which brings FUSE",
                )  # fmt: skip
            if stop := next((line for line in lines[said:] if line.startswith("stopped: ")), ""):
                raise ResourceError("the machine gave its boot up", found=f"{stop.strip()}; {' '.join(lines[-3:-1])}")
            said = len(lines)
            if process.poll() is not None or time.monotonic() > until_s:
                why = "has ended" if process.poll() is not None else f"was not up within {how.within_s:.0f} s"
                words = last_words(console.read_text(errors="replace"))
                raise ResourceError(f"the machine {why}", found=words, hint="boot the release as usual, and mend that")
    finally:
        process.kill()
        process.wait()
