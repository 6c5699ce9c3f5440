"""What a runtime image is made of, whichever interpreter runs `swarmboot hook`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert {"leecher", "swarmboot", "libtorrent", "trio", "httpx", "msgpack", "cryptography"} <= found[
        "packages"
    ].keys()
    assert not {"json", "pytest", "click", "seeder"} & found["packages"].keys()
    assert {"json", "ssl", "leecher"} <= set(found["loaded"])
    for name in ("leecher", "swarmboot"):
        (tmp_path / name).symlink_to(TREE / name)
    done = subprocess.run(tell, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ImportError: no trio here")
