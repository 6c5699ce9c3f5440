"""The Containerfile: built by buildah where that is, and its very steps in a chroot of the same Debian."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tree import TREE
from tests.system.vm.grounds import Chroot, fresh
from tests.system.vm.programs import run
from tests.system.vm.roots import write_tiny_root

pytestmark = [
    pytest.mark.root, pytest.mark.vm_all, pytest.mark.timeout(1800),
    pytest.mark.needs("mmdebstrap", "busybox", "mksquashfs"),
]  # fmt: skip

AUTHORITIES = Path("/etc/ssl/certs")
USE = """
export SWARMBOOT_SERVE_LISTEN=127.0.0.1:0 SWARMBOOT_SERVE_UPLINK=1gbit
mkdir -p /srv/swarmboot && cd /srv/swarmboot
swarmboot keygen --out /tmp/keys
swarmboot publish /release --site site --key /tmp/keys/swarmboot.key
"$@" >/tmp/log 2>&1 &
until address=$(grep -o '127[.]0[.]0[.]1:[1-9][0-9]*' /tmp/log | head -n 1) && [ "$address" ]; do
    kill -0 $! || { cat /tmp/log >&2; exit 1; }
    sleep 0.2
done
swarmboot fetch --server "https://$address" --ca /var/lib/swarmboot/ca.pem --trust /tmp/keys/swarmboot.pub \\
    --into /tmp/images --no-discovery
kill -TERM $!
wait $!
cmp /tmp/images/rootfs.squashfs /release/rootfs.squashfs
dnsmasq --version | head -n 1
ls /usr/lib/ipxe/undionly.kpxe
"""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Containerfile and what follows it (Containerfile(5))."""

    name: str
    rest: str


def instructions() -> list[Instruction]:
    text = (TREE / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [Instruction(*line.split(None, 1)) for line in whole if line.strip()]


def shell_steps() -> Iterator[str]:
    """Yield what a builder does for each instruction, as a shell does it; what it does not know ends the test."""
    for step in instructions():
        match step.name:
            case "RUN":
                yield step.rest
            case "COPY":
                *sources, target = step.rest.split()
                for source in sources:
                    what = f"/source/{source}" + ("/." if (TREE / source).is_dir() else "")
                    yield f"mkdir -p {target} && cp -R {what} {target}"
            case "ENV":
                yield f"export {step.rest}"
            case "FROM" | "VOLUME" | "EXPOSE" | "STOPSIGNAL" | "ENTRYPOINT" | "CMD":
                pass
            case _:
                raise AssertionError(f"no step is known for {step.name}")


def command() -> list[str]:
    """Return what the container runs."""
    found = {step.name: step.rest for step in instructions()}
    words: list[str] = json.loads(found["ENTRYPOINT"]) + json.loads(found["CMD"])
    return words


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for name in ("release", "root"):
        (tmp_path / name).mkdir()
    write_tiny_root(tmp_path / "release/rootfs.squashfs", work=tmp_path / "root", padding_bytes=300_000)
    return tmp_path / "release"


def test_the_steps_of_the_containerfile_make_a_server_in_a_chroot(release: Path) -> None:
    (base,) = [step.rest for step in instructions() if step.name == "FROM"]
    assert base == "docker.io/library/debian:13-slim"  # of which this is the same suite, as small
    steps = "\n".join(["export PIP_CERT=/authorities/ca-certificates.crt", *shell_steps(), USE])
    binds = {"source": TREE, "release": release, "authorities": AUTHORITIES}
    said = Chroot((fresh("trixie") / "tree",)).run("sh", "-euc", steps, "sh", *command(), binds=binds)
    assert "Dnsmasq version" in said


@pytest.mark.needs("buildah")
def test_buildah_builds_the_containerfile_and_what_it_builds_serves(release: Path, tmp_path: Path) -> None:
    places = ("--root", tmp_path / "store", "--runroot", tmp_path / "running", "--storage-driver", "overlay")

    def buildah(*words: str | Path) -> str:
        return run("buildah", *map(str, (*places, *words)), folder=TREE).strip()

    with ExitStack() as stack:
        stack.callback(forget, buildah)
        (base,) = [step.rest for step in instructions() if step.name == "FROM"]
        packed = tmp_path / "base.tar"
        run("tar", "-C", str(fresh("trixie") / "tree"), "-cf", str(packed), ".")
        work = buildah("from", "scratch")  # no registry is asked: a Debian of our own stands for the one that is named
        buildah("add", work, packed, "/")
        buildah("add", work, AUTHORITIES / "ca-certificates.crt", "/authorities.crt")
        buildah("config", "--env", "PIP_CERT=/authorities.crt", work)
        buildah("commit", work, base)
        how = ("--isolation", "chroot", "--network", "host", "--pull-never", "--layers=false")
        buildah("bud", *how, "--tag", "swarmboot", "--file", "Containerfile", ".")
        made = buildah("from", "--pull-never", "swarmboot")
        (shown,) = [json.loads(buildah("inspect", made))["OCIv1"]["config"]]
        assert [*shown["Entrypoint"], *shown["Cmd"]] == command()
        inside = ("--isolation", "chroot", "--network", "host", "--volume", f"{release}:/release:ro", made)
        assert "Dnsmasq version" in buildah("run", *inside, "--", "sh", "-euc", USE, "sh", *command())


def forget(buildah: Callable[..., str]) -> None:
    """Take away what buildah has mounted and stored, also after a failure."""
    buildah("rm", "--all")
    buildah("rmi", "--all", "--force")
