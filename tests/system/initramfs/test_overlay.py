"""Many layers under one root, mounted for real by the programs that an initramfs may bring."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.tree import DRIVER

LAYERS = 254
"""As many as a manifest can name."""

_SCRIPT = """
set -eu
mount -t tmpfs none "$2"
swarmboot_files=${1%/*}
. "$1"
swarmboot_run=$2 swarmboot_console=$2/console swarmboot_kmsg=$2/kmsg
mkdir "$2/layers" "$2/changes" "$2/changes/upper" "$2/changes/work" "$2/root"
swarmboot_lower=
number=0
while [ $number -lt "$3" ]; do
    name=$(printf "$4" $number)
    mkdir "$2/layers/$name"
    echo $number >"$2/layers/$name/layer-$number"
    echo $number >"$2/layers/$name/top"
    swarmboot_lower=$name${swarmboot_lower:+:$swarmboot_lower}
    number=$((number + 1))
done
if [ "$5" = busybox ]; then mount() { busybox mount "$@"; }; fi
swarmboot_stack "$2/root" || { cat "$2/console"; exit 1; }
echo new >"$2/root/new"
set -- "$2/root" "$2"/root/layer-*
echo "$(($# - 1)) $(cat "$1/top") $(cat "$1/layer-0")"
"""


@pytest.fixture(params=["dash", "busybox"], ids=["util-linux", "busybox"])
def shell(request: pytest.FixtureRequest) -> str:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def stack(folder: Path, shell: str, *, layers: int, name: str = "%d") -> tuple[int, str]:
    contained = (
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--",
        *(["busybox", "sh"] if shell == "busybox" else [shell]),
    )
    done = subprocess.run(
        (*contained, "-c", _SCRIPT, "sh", str(DRIVER), str(folder), str(layers), name, shell),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.root
def test_as_many_layers_as_a_manifest_names_are_all_there_and_writable(tmp_path: Path, shell: str) -> None:
    assert stack(tmp_path, shell, layers=LAYERS) == (0, f"{LAYERS} {LAYERS - 1} 0\n")


@pytest.mark.root
def test_an_overlay_that_lacks_layers_is_no_root(tmp_path: Path, shell: str) -> None:
    """Options longer than a page, which ends between two names: the mount itself succeeds (findings/)."""
    status, said = stack(tmp_path, shell, layers=100, name="x" * 57 + "%03d")
    assert status == 1
    assert "expected lowerdir=" in said
