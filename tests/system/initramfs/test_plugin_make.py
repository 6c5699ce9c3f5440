"""Plugins made over a small root, for real, and put on that root as a node does: it shows what the build showed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import Done, run_program
from tests.support.waiting import wait_until
from tests.system.initramfs.assembling import assemble

pytestmark = [pytest.mark.root, pytest.mark.needs("mksquashfs", "unsquashfs", "unshare", "busybox")]

LINKS = "sh cat chmod chown echo env find hostname ln ls mkdir mv rm rmdir sed setsid sleep sort stat touch wc"
RECIPE = """
set -e
echo new >/etc/new
ln /etc/new /etc/new-too
echo changed >/etc/motd
rm /srv/kept/gone
rm -r /srv/old && mkdir /srv/old && echo n >/srv/old/n
rm -r /srv/file && mkdir /srv/file
mv /srv/moved /srv/away
touch /usr/bin/special && chown 7:8 /usr/bin/special && chmod 4755 /usr/bin/special
mkdir /opt/empty && chmod 0700 /opt/empty
ln -s new /etc/link
echo x >/tmp/x; echo x >/run/x; echo x >/var/log/x; echo x >/etc/machine-id; echo x >/mnt/beside-me
"""
LOOK = """{ find etc srv opt usr/bin -type d -exec stat -c '%n %F %a %u:%g' {} +
    find etc srv opt usr/bin ! -type d -exec stat -c '%n %F %a %u:%g %s' {} +
} | busybox grep -v -e etc/machine-id -e etc/resolv.conf | LC_ALL=C sort; cat etc/motd etc/new srv/old/n srv/away/m"""


def root_tree(folder: Path) -> Path:
    """Return a root that runs: busybox and its libraries, and a few files to change."""
    for name in ("usr/bin", "etc", "srv/old/deep", "srv/kept", "srv/moved", "var/log", "run", "tmp", "proc", "opt"):
        (folder / name).mkdir(parents=True)
    (folder / "bin").symlink_to("usr/bin")
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, folder / "usr/bin/busybox")
    libraries = subprocess.run(("ldd", program), capture_output=True, text=True, check=False).stdout.split()
    for library in filter(lambda word: word.startswith("/"), libraries):
        (folder / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, folder / library.lstrip("/"))
    for name in LINKS.split():
        (folder / "usr/bin" / name).symlink_to("busybox")
    for name in (
        "etc/motd",
        "srv/kept/gone",
        "srv/kept/here",
        "srv/old/f",
        "srv/old/deep/g",
        "srv/file",
        "srv/moved/m",
    ):
        (folder / name).write_text(f"{name} of the root\n")
    (folder / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    return folder


def squash(tree: Path, image: Path) -> Path:
    image.parent.mkdir(parents=True, exist_ok=True)
    command = ("mksquashfs", str(tree), str(image), "-quiet", "-no-progress", "-noappend", "-all-root")
    subprocess.run(command, check=True, capture_output=True)
    return image


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return root_tree(tmp_path_factory.mktemp("root") / "tree")


@pytest.fixture
def images(tmp_path: Path, tree: Path) -> Path:
    """Return a folder with a root image in it, where the driver looks for one."""
    squash(tree, tmp_path / "images/rootfs.squashfs")
    return tmp_path / "images"


def recipe(folder: Path, text: str, name: str = "recipe.sh") -> Path:
    path = folder / "recipes" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def make(script: Path, images: Path, output: str = "10-made.squashfs", **environment: str) -> Done:
    done = run_program(
        "plugin", "make", script, images / "rootfs.squashfs", "--output", images / output, "--json",
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.status == 0, done.err
    return done


def listed(image: Path) -> list[str]:
    said = subprocess.run(("unsquashfs", "-lln", str(image)), capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=5) for line in said.splitlines())
    return [f"{row[0]} {row[-1].removeprefix('squashfs-root')}" for row in rows if row]


@pytest.mark.parametrize("output", ["10-made.squashfs", "10-made.tar.gz"])
def test_the_assembled_root_shows_what_the_build_showed(tmp_path: Path, images: Path, output: str) -> None:
    text = RECIPE if output.endswith("squashfs") else RECIPE.replace("rm -r /srv/file && mkdir /srv/file", "")
    shown = make(recipe(tmp_path, f"{text}cd /; {LOOK}"), images, output)
    there = assemble(tmp_path, images / output, look=LOOK, allow=("setuid",))
    assert "srv/old/n regular file" in there
    assert "srv/old/f" not in there
    assert there.splitlines()[-4:] == ["changed", "new", "n", "srv/moved/m of the root"]
    seen = shown.err[shown.err.index("etc directory") :]
    assert there[there.index("etc directory") :] == seen
    facts = shown.value
    assert facts["left_out"] == {"logs": 1, "machine ids": 1}
    assert facts["special"] == {"setuid": ["/usr/bin/special"]}
    assert not (tmp_path / "recipes/beside-me").exists()


def test_the_same_input_makes_the_same_bytes(tmp_path: Path, images: Path) -> None:
    script = recipe(tmp_path, RECIPE)
    for kind in ("squashfs", "tar.gz"):
        text = RECIPE if kind == "squashfs" else RECIPE.replace("rm -r /srv/file && mkdir /srv/file", "")
        script.write_text(text)
        make(script, images, f"1.{kind}")
        make(script, images, f"2.{kind}")
        assert (images / f"1.{kind}").read_bytes() == (images / f"2.{kind}").read_bytes()


def test_hard_links_and_capabilities_are_kept(tmp_path: Path, images: Path, tree: Path) -> None:
    value = struct.pack("<IIIII", 0x02000001, 0x80FF, 0, 0, 0).hex()  # capabilities(7), linux/capability.h
    wait = "echo ready >/etc/ready; while [ ! -e /tmp/go ]; do sleep 0.1; done"
    script = recipe(tmp_path, f"echo a >/usr/bin/a; ln /usr/bin/a /usr/bin/b; {wait}")  # busybox has no setcap
    work = tmp_path / "work"
    work.mkdir()
    command: list[object] = [sys.executable, "-m", "swarmboot", "plugin", "make", script, images / "rootfs.squashfs"]
    command += ["--output", images / "10.squashfs"]
    with running(command, work) as process:
        (upper,) = wait_until("the recipe", lambda: upper_with("etc/ready", work), process=process)
        os.setxattr(upper / "usr/bin/a", "security.capability", bytes.fromhex(value))
        (upper.parent / "tmp/go").touch()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    folder = tmp_path / "unpacked"
    subprocess.run(("unsquashfs", "-q", "-n", "-d", str(folder), str(images / "10.squashfs")), check=True)
    assert os.getxattr(folder / "usr/bin/a", "security.capability") == bytes.fromhex(value)
    assert (folder / "usr/bin/a").stat().st_ino == (folder / "usr/bin/b").stat().st_ino


def test_a_new_folder_hides_nothing_of_another_plugin(tmp_path: Path, images: Path) -> None:
    for number in ("1", "2"):
        make(recipe(tmp_path, f"mkdir -p /etc/parts.d && echo x >/etc/parts.d/{number}"), images, f"{number}.squashfs")
    there = assemble(tmp_path, images / "1.squashfs", images / "2.squashfs", look="echo etc/parts.d/*")
    assert there.splitlines()[-1] == "etc/parts.d/1 etc/parts.d/2"


@contextmanager
def running(command: list[object], work: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command with `work` for its temporary files; it is killed if the test fails."""
    environment = {**os.environ, "TMPDIR": str(work)}
    words = [str(word) for word in command]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def upper_with(name: str, work: Path) -> list[Path] | None:
    return [upper for upper in work.glob("*/upper") if (upper / name).exists()] or None


def is_running(*words: str) -> bool:
    wanted = "".join(f"{word}\0" for word in words).encode()
    return any(path.read_bytes() == wanted for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_a_recipe_finds_nothing_of_it(tmp_path: Path, images: Path, number: signal.Signals) -> None:
    script = recipe(tmp_path, "setsid sleep 4321 & echo >/etc/begun; sleep 4321")
    work = tmp_path / "work"
    work.mkdir()
    before = Path("/proc/self/mountinfo").read_text()
    command: list[object] = [sys.executable, "-m", "swarmboot", "plugin", "make", script, images / "rootfs.squashfs"]
    command += ["--output", tmp_path / "recipe.squashfs"]
    with running(command, work) as process:
        wait_until("the recipe", lambda: upper_with("etc/begun", work), process=process)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "swarmboot: stopped"
    assert list(work.iterdir()) == []
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not (tmp_path / "recipe.squashfs").exists()
    assert not is_running("sleep", "4321")


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("echo x >/etc/x; exit 3", 58, "the recipe has failed: expected exit status 0, found 3; nothing is written"),
        ("echo x >/tmp/x; touch /etc/motd", 58, "the recipe has changed nothing that a node would get"),
        ("#!/usr/bin/nothing\n", 58, "found 127"),
    ],
)
def test_a_recipe_that_fails_writes_nothing(tmp_path: Path, images: Path, text: str, status: int, words: str) -> None:
    target = images / "10.squashfs"
    done = run_program("plugin", "make", recipe(tmp_path, text), images / "rootfs.squashfs", "--output", target)
    assert done.status == status
    assert words in done.line
    assert sorted(path.name for path in images.iterdir()) == ["rootfs.squashfs"]


def test_where_nothing_can_be_written_nothing_is_run(tmp_path: Path, images: Path) -> None:
    script = recipe(tmp_path, "echo I was run >&2; echo x >/etc/x")
    for output in (tmp_path / "nowhere/1.squashfs", tmp_path / "1.txt"):
        done = run_program("plugin", "make", script, images / "rootfs.squashfs", "--output", output)
        assert done.status == 42
        assert "I was run" not in done.err


def test_a_recipe_has_its_time_and_what_it_started_ends_with_it(tmp_path: Path, images: Path) -> None:
    script = recipe(tmp_path, "setsid sleep 4322 & sleep 4322")
    done = run_program(
        "plugin", "make", script, images / "rootfs.squashfs", "--output", images / "1.squashfs", "--timeout", "1s"
    )
    assert done.status == 58
    assert "the recipe has not ended in time: expected within 1 s; raise --timeout" in done.line
    assert not is_running("sleep", "4322")


def test_a_root_for_another_machine_type_is_told(tmp_path: Path, tree: Path) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(tree, foreign, symlinks=True)
    program = bytearray((foreign / "usr/bin/busybox").read_bytes())
    program[18:20] = struct.pack("<H", 258)  # EM_LOONGARCH, elf.h
    (foreign / "usr/bin/busybox").write_bytes(program)
    image = squash(foreign, tmp_path / "rootfs.squashfs")
    done = run_program("plugin", "make", recipe(tmp_path, "true"), image, "--output", tmp_path / "1.squashfs")
    assert done.status == 64
    assert "/bin/sh does not run on this machine" in done.line
    assert "found a program for loongarch" in done.line


def test_who_is_not_root_is_told_so(tmp_path: Path, images: Path) -> None:
    script = recipe(tmp_path, "true")
    nobody = ("unshare", "--user", "--map-user=54321", "--map-group=54321", "--")
    command = (
        *nobody,
        sys.executable,
        "-m",
        "swarmboot",
        "plugin",
        "make",
        str(script),
        str(images / "rootfs.squashfs"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 63
    assert done.stderr.startswith("swarmboot: making a plugin needs root")


def test_a_recipe_of_coinboots_runs_over_an_archive_as_root_image(tmp_path: Path, tree: Path) -> None:
    pytest.importorskip("yaml")
    shutil.copytree(tree, tmp_path / "tree", symlinks=True)
    bash = tmp_path / "tree/usr/bin/bash"
    bash.write_text('#!/bin/sh\nexec /bin/sh "$@"\n')
    bash.chmod(0o755)
    release = tmp_path / "release"
    release.mkdir()
    archive = release / "rootfs.tar.gz"
    subprocess.run(("tar", "-C", str(tmp_path / "tree"), "-czf", str(archive), "."), check=True)
    script = (
        "plugin: Example\narchive_name: example\nversion: v1.10\nrun: |\n"
        "  set -e\n  sudo mkdir -p /opt/example\n  cat /mnt/src/example/upstream >/opt/example/upstream\n"
    )
    (tmp_path / "recipes/src/example").mkdir(parents=True)
    (tmp_path / "recipes/src/example/upstream").write_text("theirs\n")
    path = recipe(tmp_path, script, "src/example/example.yaml")
    done = run_program("plugin", "make", path, release, "--json")
    assert done.status == 0, done.err
    assert done.value["recipe"]["plugin"] == "Example"
    assert listed(release / "plugins/example_v1.10.squashfs") == [
        "drwxr-xr-x ", "drwxr-xr-x /opt", "drwxr-xr-x /opt/example", "-rw-r--r-- /opt/example/upstream",
    ]  # fmt: skip


def test_a_plugin_tells_what_it_does_to_a_release(tmp_path: Path, images: Path) -> None:
    release = tmp_path / "release"
    (release / "plugins").mkdir(parents=True)
    shutil.copy(images / "rootfs.squashfs", release)
    for name, text in (("a", "echo a >/etc/both; rm -r /srv/old"), ("b", "echo b >/etc/both; echo >/srv/old/mine")):
        assert run_program("plugin", "make", recipe(tmp_path, text, f"{name}.sh"), release).status == 0
    done = run_program("plugin", "show", release / "plugins/a.squashfs", "--against", release, "--json")
    facts = json.loads(done.out)
    assert facts["conflicts"] == {"plugins/b.squashfs": ["/etc/both", "/srv/old", "/srv/old/mine"]}
    assert facts["deletes"] == ["/srv/old"]
    plain = run_program("plugin", "show", release / "plugins/a.squashfs").out
    assert "deletes: /srv/old" in plain
