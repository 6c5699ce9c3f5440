"""What dracut's adapter makes of ip=, and says where systemd makes nothing of it, under each shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.shells import SHELLS
from tests.support.tree import HOOK

SHORT = "10.0.0.7::10.0.0.1:255.255.255.0::eth0"
UNREAD = (
    "swarmboot: systemd has dropped all arguments for the network, as it does not understand one of them; found "
    f"ip=eth1:dhcp ip={SHORT}; expected all seven fields, ip=ADDRESS::GATEWAY:NETMASK:NAME:CARD:none, or ip=dhcp\n"
)


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    command: tuple[str, ...] = request.param
    return command


def source(shell: tuple[str, ...], folder: Path, name: str, stubs: str, *, times: int = 1) -> str:
    """Source a hook of dracut's, with these functions in place of dracut's; return what the console shows."""
    (folder / "cmdline").write_text("swarmboot.server=https://10.0.0.1:8470\n")
    (folder / "hooks/initqueue/finished").mkdir(parents=True)
    hook = (HOOK / "dracut" / name).read_text().replace("/usr/lib/swarmboot/", f"{HOOK}/")
    for place in ("/run/systemd/network", "/etc/cmdline.d", "/run/swarmboot-waits"):
        hook = hook.replace(place, f"{folder}{place}")
    (folder / "run").mkdir()
    (folder / "hook.sh").write_text(hook)
    script = f"""
        swarmboot_files={HOOK} swarmboot_cmdline={folder}/cmdline hookdir={folder}/hooks
        swarmboot_console={folder}/console swarmboot_kmsg={folder}/kmsg
        ip() {{ :; }}
        {stubs}
        for _ in {" ".join("x" * times)}; do . {folder}/hook.sh; done
    """
    done = subprocess.run((*shell, "-c", script), capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return (folder / "console").read_text() if (folder / "console").exists() else ""


@pytest.mark.parametrize(
    ("value", "is_ours"), [("dhcp", True), ("any", True), ("both", True), ("bootp", True), (SHORT, False)]
)
def test_what_asks_for_dhcp_by_any_name_is_asked_of_networkd(
    shell: tuple[str, ...], tmp_path: Path, value: str, is_ours: bool
) -> None:
    stubs = f'getarg() {{ case $1 in ip=) echo "{value}" ;; *) return 1 ;; esac; }}'
    assert source(shell, tmp_path, "swarmboot-cmdline.sh", stubs) == ""
    assert (tmp_path / "run/systemd/network/60-swarmboot.network").exists() == is_ours


@pytest.mark.parametrize(("status", "said"), [(0, UNREAD), (1, "")])
def test_arguments_that_systemd_drops_are_named_once(
    shell: tuple[str, ...], tmp_path: Path, status: int, said: str
) -> None:
    stubs = f"""
        systemctl() {{ [ "$*" = "--quiet is-failed systemd-network-generator.service" ] && return {status}; }}
        getargs() {{ printf '%s\\n' eth1:dhcp {SHORT}; }}
    """
    assert source(shell, tmp_path, "swarmboot-wait.sh", stubs, times=2) == said
