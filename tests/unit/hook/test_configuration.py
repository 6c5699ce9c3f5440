"""What goes into an initramfs: of /etc/swarmboot the hook's files, and none of a server's; what else is asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.tree import HOOK

OURS = {"fleet.pub", "ca.pem", "defaults", "fleet.token"}
SERVERS = ("serve.toml", "ui.token", "swarmboot.key", "ca.key")
_INITRAMFS_TOOLS = """
manual_add_modules() { echo "asked $*"; }
auto_add_modules() { :; }
copy_exec() { :; }
"""
_DRACUT = """
inst_simple() { mkdir -p "$DESTDIR/$(dirname "${2:-$1}")" && cp "$1" "$DESTDIR/${2:-$1}"; }
inst_hook() { :; }
inst_multiple() { echo "asked $*"; }
instmods() { echo "asked $*"; }
dracut_need_initqueue() { :; }
moddir=$1 systemdsystemunitdir=/units
. "$1/module-setup.sh"
installkernel
install
"""


def put_in(folder: Path, generator: str, *, defaults: str = "") -> tuple[set[str], set[str]]:
    """Return the names in /etc/swarmboot of an initramfs, and the modules and programs that were asked for."""
    for name, names in (("etc", (*OURS, *SERVERS)), ("code", ("runtime.squashfs", "runtime.libraries"))):
        (folder / name).mkdir()
        for each in names:
            (folder / name / each).write_text("" if each == "runtime.libraries" else "x\n")
    (folder / "etc/defaults").write_text(defaults)
    for path in (*HOOK.glob("*.sh"), *HOOK.glob("*.service"), *HOOK.glob("seed.*")):
        (folder / "code" / path.name).write_bytes(path.read_bytes())
    (folder / "code/runtime.libraries").write_text("/etc/hostname\n")
    script = folder / "script"
    arguments = ["sh", str(script)]
    if generator == "dracut":
        script.write_text(_DRACUT)
        arguments = ["bash", str(script), str(HOOK / "dracut")]
    else:
        hook = (HOOK / "initramfs-tools/hooks/swarmboot").read_text()
        source = ". /usr/share/initramfs-tools/hook-functions\n"
        assert source in hook
        script.write_text(hook.replace(source, _INITRAMFS_TOOLS))
    places = {"SWARMBOOT_CODE": "code", "SWARMBOOT_CONFIG": "etc", "DESTDIR": "initramfs"}
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | {k: str(folder / v) for k, v in places.items()}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked = {word for line in done.stdout.splitlines() if line.startswith("asked ") for word in line.split()[1:]}
    return {path.name for path in (folder / "initramfs/etc/swarmboot").iterdir()}, asked


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_a_servers_secrets_beside_them_go_into_no_initramfs(tmp_path: Path, generator: str) -> None:
    assert put_in(tmp_path, generator)[0] == OURS


@pytest.mark.parametrize(
    ("defaults", "is_asked"),
    [("zram=50%\n", True), ("rack=r1\nzram=On\n", True), ("zram=off\n", False), ("rack=zram=1G\n", False), ("", False)],
)
@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_compressed_swap_comes_with_its_modules_and_programs_where_it_is_baked_in(
    tmp_path: Path, generator: str, defaults: str, is_asked: bool
) -> None:
    wanted = {"zram", "zstd", "lz4", "lzo-rle", *(("mkswap", "swapon") if generator == "dracut" else ())}
    assert wanted & put_in(tmp_path, generator, defaults=defaults)[1] == (wanted if is_asked else set())
