"""What a runtime image is made of, whichever interpreter runs `swarmboot hook`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seeder.hook.finished_tree import pack
from tests.support.tree import TREE

_ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from seeder.hook.runtime_image import probe
found = probe("packages")
print(found.executable, found.packages["trio"], found.packages["leecher"])
"""


@pytest.mark.needs("/usr/share/doc/python3-libtorrent", "/usr/share/doc/python3-trio")
def test_the_distributions_packages_are_taken_whatever_pip_has_put_beside_swarmboot(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    for name in ("swarmboot", "seeder", "leecher"):
        shutil.copytree(TREE / name, site / name)
    (site / "trio.py").write_text("raise ImportError('a wheel')\n")
    done = subprocess.run((sys.executable, "-c", _ASK, str(site)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    executable, trio, leecher = map(Path, done.stdout.split())
    assert executable.is_relative_to("/usr/bin")
    assert trio.is_relative_to("/usr/lib/python3")
    assert leecher == site / "leecher"


def test_what_an_interpreter_has_is_told_by_a_program_of_the_leechers(tmp_path: Path) -> None:
    (tmp_path / "trio.py").write_text("raise ImportError('no trio here')\n")
    tell = (sys.executable, "-E", "-s", "-B", "-m", "leecher.initramfs.inventory", "wheels")
    found = json.loads(subprocess.run(tell, cwd=TREE, capture_output=True, check=True).stdout)
    assert {"leecher", "swarmboot", "libtorrent", "trio", "h11", "msgpack", "cryptography"} <= found["packages"].keys()
    assert not {"json", "pytest", "click", "seeder"} & found["packages"].keys()
    assert {"json", "ssl", "leecher"} <= set(found["loaded"])
    for name in ("leecher", "swarmboot"):
        (tmp_path / name).symlink_to(TREE / name)
    done = subprocess.run(tell, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ImportError: no trio here")


def test_the_files_that_a_node_reads_are_always_told_in_the_order_in_which_it_reads_them() -> None:
    tell = (sys.executable, "-B", "-m", "leecher.initramfs.read_order")
    first, second = (
        [line for line in lines.splitlines() if not line.startswith(("/tmp/", "/proc/"))]
        for lines in (subprocess.run(tell, cwd=TREE, capture_output=True, check=True, text=True).stdout for _ in "12")
    )
    assert first == second
    assert len(first) == len(set(first)) > 300
    names = [path.replace("__pycache__/", "") for path in first]
    stages = ("leecher/initramfs/__main__.", "leecher/boot/start.", "trio/__init__.", "leecher/boot/run.")
    places = [next(at for at, name in enumerate(names) if f"/{stage}" in name) for stage in stages]
    assert places == sorted(places)
    assert any("/libtorrent" in path and ".so" in path for path in first)


@pytest.mark.needs("mksquashfs")
def test_mksquashfs_lays_files_in_the_order_of_reading(tmp_path: Path) -> None:
    tree, image = tmp_path / "tree", tmp_path / "image"
    names = [f"{folder}/{number}" for folder in ("b", "a") for number in (3, 1, 2)]
    for name in [*names, "a/0", "c"]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"<{name}>")
    pack(tree, image, ("-noI", "-noD", "-noF"), [f"/{name}" for name in names])
    data = image.read_bytes()
    assert sorted([*names, "a/0", "c"], key=lambda name: data.index(f"<{name}>".encode()))[: len(names)] == names
    again = tmp_path / "again"
    pack(tree, again, ("-noI", "-noD", "-noF"), [f"/{name}" for name in names])
    assert again.read_bytes() == data
