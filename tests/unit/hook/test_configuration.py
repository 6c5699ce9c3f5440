"""What of /etc/swarmboot goes into an initramfs: the files of the hook, and none of a server that has its own there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.tree import HOOK

OURS = {"fleet.pub", "ca.pem", "defaults", "fleet.token"}
SERVERS = ("serve.toml", "ui.token", "swarmboot.key", "ca.key")
_INITRAMFS_TOOLS = """
manual_add_modules() { :; }
auto_add_modules() { :; }
copy_exec() { :; }
"""
_DRACUT = """
inst_simple() { mkdir -p "$DESTDIR/$(dirname "${2:-$1}")" && cp "$1" "$DESTDIR/${2:-$1}"; }
inst_hook() { :; }
inst_multiple() { :; }
dracut_need_initqueue() { :; }
moddir=$1 systemdsystemunitdir=/units
. "$1/module-setup.sh"
install
"""


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_a_servers_secrets_beside_them_go_into_no_initramfs(tmp_path: Path, generator: str) -> None:
    for folder, names in (("etc", (*OURS, *SERVERS)), ("code", ("runtime.squashfs", "runtime.libraries"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text("" if name == "runtime.libraries" else "x\n")
    for path in (*HOOK.glob("*.sh"), *HOOK.glob("*.service"), *HOOK.glob("seed.*")):
        (tmp_path / "code" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "code/runtime.libraries").write_text("/etc/hostname\n")
    script = tmp_path / "script"
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
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | {k: str(tmp_path / v) for k, v in places.items()}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "initramfs/etc/swarmboot").iterdir()} == OURS
