"""What lists of chunks save and cost: `python -m tests.bench.delta build FOLDER`, `share OLD NEW`, `publish IMAGE`.

`build`, as root: a Debian 13 tree of some 480 packages as its point release has them, packed as FOLDER/old.squashfs,
and the same tree with all that trixie-updates and trixie-security have newer, as FOLDER/new.squashfs. How many packages
that are is Debian's affair; it prints them. `share`: how much of NEW is in OLD, by pieces on a grid and by chunks.
`publish`: what a whole `swarmboot publish` takes, with lists and without, in turns.
"""

from __future__ import annotations

import hashlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from netsim.demo import debian
from seeder.publish.images.chunker import Chunker
from swarmboot.release.chunks import ChunkList, copies

_PACKAGES = (
    "ca-certificates,systemd-sysv,udev,openssh-server,python3,curl,git,vim-nox,nginx-light,perl,gnupg,bind9-dnsutils,"
    "linux-image-cloud-amd64,libtiff6,ffmpeg,libxml2-utils,rsync,wget,sudo,tcpdump,iproute2,iputils-ping,less,man-db,"
    "openssl,postgresql-client,imagemagick,ghostscript,python3-requests,python3-urllib3,python3-jinja2,php-cli,ruby,"
    "unbound-host"
)
_SOURCES = """deb {0} trixie main
deb {0} trixie-updates main
deb {0}-security trixie-security main
"""
_ROUNDS = 7
_WITHOUT = "import seeder.publish.copier as c, swarmboot.cli as s; c.MIN_CHUNKED_BYTES = {}; s.main()"


def build(folder: Path) -> None:
    """Make both images, and print which packages differ."""
    old, new = folder / "old", folder / "new"
    folder.mkdir(parents=True, exist_ok=True)
    mirror = debian.mirror(platform.freedesktop_os_release()["VERSION_CODENAME"], "amd64").rstrip("/")
    _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "trixie", old, mirror)
    _inside(old, "apt-get clean")
    _pack(old)
    _run("cp", "-a", old, new)
    (new / "etc/apt/sources.list").write_text(_SOURCES.format(mirror))
    (new / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (new / "usr/sbin/policy-rc.d").chmod(0o755)
    _inside(new, "apt-get -q update")
    _inside(new, "apt-get -qy dist-upgrade")
    for left_over in (
        "usr/sbin/policy-rc.d",
        *(str(p.relative_to(new)) for p in (new / "var/lib/apt/lists").glob("*")),
    ):
        _run("rm", "-rf", new / left_over)
    _inside(new, "apt-get clean")
    _pack(new)
    before, after = _versions(old), _versions(new)
    changed = sorted(name for name in after if before.get(name) != after[name])
    print(f"{len(after)} packages, {len(changed)} of them other ones: {', '.join(changed)}")


def _versions(tree: Path) -> dict[str, str]:
    lines = _inside(tree, "dpkg-query -W -f '${Package} ${Version}\\n'").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def _pack(tree: Path) -> None:
    image = tree.with_suffix(".squashfs")
    packed = ("-comp", "zstd", "-Xcompression-level", "3", "-b", "128K", "-noappend", "-no-progress")
    _run("mksquashfs", tree, image, *packed, "-e", "proc", "sys", "dev")


def _inside(tree: Path, command: str) -> str:
    return _run("chroot", tree, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "sh", "-c", command)


def _run(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout


def share(old: bytes, new: bytes) -> None:
    """Print a Markdown table: which part of the new image the old one has."""
    print(f"| recognised of {len(new) / 1e6:.1f} MB | share |\n|---|---|")
    for piece_bytes in (1 << 14, 1 << 16, 1 << 17, 1 << 20):
        there = {hashlib.sha256(old[at : at + piece_bytes]).digest() for at in range(0, len(old), piece_bytes)}
        pieces = [new[at : at + piece_bytes] for at in range(0, len(new), piece_bytes)]
        found_bytes = sum(len(piece) for piece in pieces if hashlib.sha256(piece).digest() in there)
        print(f"| pieces of {piece_bytes >> 10} KiB | {found_bytes / len(new):.1%} |")
    found = copies(_cut(new), {"old": _cut(old)})
    copied_bytes = sum(copy.size_bytes for copy in found)
    print(f"| chunks | {copied_bytes / len(new):.1%}, in {len(found)} stretches |")


def _cut(data: bytes) -> ChunkList:
    chunker = Chunker()
    for at in range(0, len(data), 1 << 20):
        chunker.update(data[at : at + (1 << 20)])
    return chunker.finish()


def publish(image: Path) -> None:
    """Print what publishing a release of one image takes: best and median of seven each, and of processors."""
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        folder = Path(name)
        (folder / "release").mkdir()
        (folder / "release/rootfs.squashfs").hardlink_to(image)
        _run(sys.executable, "-m", "swarmboot", "keygen", "--out", folder / "keys")
        took: dict[str, list[tuple[float, float]]] = {"without lists": [], "with lists": []}
        for _ in range(_ROUNDS):
            for way, least_bytes in (("without lists", 1 << 60), ("with lists", 1 << 20)):
                took[way].append(_publish_s(folder, _WITHOUT.format(least_bytes)))
        print("| publish | best | median | processor |\n|---|---|---|---|")
        for way, each in took.items():
            wall_s, cpu_s = zip(*each, strict=True)
            print(f"| {way} | {min(wall_s):.2f} s | {statistics.median(wall_s):.2f} s | {min(cpu_s):.2f} s |")


def _publish_s(folder: Path, program: str) -> tuple[float, float]:
    """Publish into a new site, and return seconds by the wall clock and of processors."""
    site = folder / "site"
    before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    key = folder / "keys/swarmboot.key"
    release = folder / "release"
    _run(sys.executable, "-c", program, "publish", "--force", release, "--site", site, "--key", key)
    wall_s, after = time.perf_counter() - begun_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    _run("rm", "-r", site)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["build", folder]:
            build(Path(folder))
        case ["share", old, new]:
            share(Path(old).read_bytes(), Path(new).read_bytes())
        case ["publish", image]:
            publish(Path(image))
        case _:
            sys.exit(__doc__)
