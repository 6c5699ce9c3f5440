"""What a runtime image is made of, whichever interpreter runs `swarmboot hook`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
_ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from seeder.hook_runtime import probe
found = probe("packages")
print(found.executable, found.packages["trio"], found.packages["leecher"])
"""


@pytest.mark.needs("/usr/share/doc/python3-libtorrent", "/usr/share/doc/python3-trio")
def test_the_distributions_packages_are_taken_whatever_pip_has_put_beside_swarmboot(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    for name in ("swarmboot", "seeder", "leecher"):
        shutil.copytree(ROOT / name, site / name)
    (site / "trio.py").write_text("raise ImportError('a wheel')\n")
    done = subprocess.run((sys.executable, "-c", _ASK, str(site)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    executable, trio, leecher = map(Path, done.stdout.split())
    assert executable.is_relative_to("/usr/bin")
    assert trio.is_relative_to("/usr/lib/python3")
    assert leecher == site / "leecher"
