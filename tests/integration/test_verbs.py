"""Verbs as a person types them, in a folder and with relative names: what they say names files as they were typed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from seeder.record.policy.ledger import Ledger
from seeder.record.store import Store
from swarmboot.cli import main
from tests.support.loopback import build_release
from tests.support.record import build_heard, build_report
from tests.support.waiting import BOUND_S
from tests.unit.test_verbs import STREAMS, VERBS

KEYS = "--trust keys/swarmboot.pub"
PXE = "--pxe-listen 127.0.0.1:0 --listen 127.0.0.1:0"
PLAINLY = {
    "keygen --out other --fleet-token fleet.token": "public_key",
    "publish release --force": "site",
    f"verify site {KEYS}": "site",
    f"rotate site {KEYS} --new-trust keys/swarmboot.pub --key keys/swarmboot.key": "version",
    "prune site": "kept",
    "releases site --state state": "releases",
    "rollback site --to 1": "sequence",
    "promote site stable stable": "sequence",
    "pin site 1": "pinned",
    "canary show site": "canary",
    "canary clear site": "is_new",
    "release init new-release": "made",
    "release diff site 1 stable": "cost_bytes",
    "status --state state": "nodes",
    "nodes --state state": "nodes",
    "nodes import hosts.csv release": "hosts",
    "why node-1 --state state": "phases",
    "history --state state": "boots",
    "logs node-1 --state state": "lines",
    "unit show site": "unit",
    "unit install --root root site": "installed",
    "init --root new --pxe=": "made",
    "init --root new --pxe= --dry-run": "next",
    "pxe config --pxe lo --dhcp-range 127.0.0.10,127.0.0.20 --ipxe ipxe": "config",
    "pxe chainload 10.0.0.1 --ipxe": "config",
    "pxe chainload [fd00::1]:8080 --grub": "config",
    "ca --state state": "authority",
    "doctor site --state state --listen 127.0.0.1:0": "checks",
    "trace list --state state": "manifests",
    "hook settings": "settings",
    f"hook install --initramfs-tools --root root {KEYS} --ca ca.pem": "installed",
    "simulate --nodes 2 --strategy https": "",
    "simulate --nodes 2 --strategy https --site site": "",
    "simulate --nodes 4 --strategy https --plan-power": "power_on_s",
    "lab chaos --list": "fault-free",
}
"""A command of each verb that is done in a moment, and a name in what it prints as JSON, if that is an object."""

LONG = {
    *(("hook", verb) for verb in ("build-runtime", "build-initramfs", "inspect")),
    *(("lab", verb) for verb in ("run", "compare", "calibrate", "soak")),
    *(("plugin", verb) for verb in ("make", "import", "show")),
    *(("trace", verb) for verb in ("record", "export")),
    ("pull",), ("release", "import"), ("canary", "set"), ("pxe", "rpi"),
}  # fmt: skip
"""Verbs that take a minute, a machine, a server, firmware or another release; their own tests run them."""

WRONGLY = {
    "keygen --out keys": "keys/swarmboot.key is there already",
    "keygen --fleet-token keys/swarmboot.pub": "keys/swarmboot.pub is there already",
    "publish none": "none is no release",
    "publish ./none/": "none is no release",
    "publish release --key none.key": "none.key cannot be read",
    "publish release --trace none.trace": "none.trace cannot be read",
    "publish release --site release/site": "the site release/site lies in the release release",
    "publish release --trust none.pub": "none.pub cannot be read",
    "publish release --fleet-token none.token": "none.token",
    "publish release --fleet-token site/x.token": "site/x.token lies in the release or the site",
    "publish release --key site/x.key": "site/x.key lies in the site",
    "publish leads-out": "expected a file inside leads-out",
    "publish misspelt": "release.toml:1: nmae is no key",
    "verify site --trust none.pub": "none.pub cannot be read",
    f"verify none {KEYS}": "none",
    f"rotate none {KEYS} --new-trust keys/swarmboot.pub --key keys/swarmboot.key": "none",
    "ca --state ca --out none/ca.pem": "none/ca.pem: No such file",
    "releases release": "release is not a published site",
    "prune none": "none",
    "releases none": "none",
    "rollback none": "none",
    "promote none edge stable": "none",
    "pin none 1": "none",
    "canary set none edge --share 5%": "none",
    "canary show none": "none",
    "canary clear none": "none",
    "release init site": "site is there already",
    "nodes import none release": "none cannot be read",
    "nodes import hosts.csv none": "none is no release",
    "nodes import hosts.csv site": "site is no release: expected its folder, found a published site",
    "nodes import release.toml release": "release.toml:1: the column 'no certificate' is none",
    "nodes import hosts.csv release --rack-map hosts.csv": "hosts.csv was not made by `nodes import`, and is kept",
    "release diff none 1 2": "none",
    "release import none --no-initramfs": "none is no system that is known here",
    "pull https://127.0.0.1:1 --trust none.pub": "none.pub cannot be read",
    f"pull https://127.0.0.1:1 {KEYS} --ca none.pem": "none.pem cannot be read",
    f"pull https://127.0.0.1:1 {KEYS} --fleet-token none.token": "none.token",
    f"pull 127.0.0.1:1 {KEYS}": "not a server's address",
    "status --state none": "none",
    "status --server https://127.0.0.1:1 --ca release.toml": "release.toml",
    "status --server https://127.0.0.1:1 --ca none.pem": "none.pem cannot be read",
    "status --server https://127.0.0.1:1 --token-file none.token": "none.token cannot be read",
    "logs x --state none": "none",
    "unit install none": "none",
    "init --root new --pxe nope0": "--pxe nope0 cannot be used",
    "init --root new --pxe= --dhcp-range 10.0.0.1,10.0.0.2": "--dhcp-range needs --pxe",
    "init --root new --pxe lo --dhcp-range 10.0.0.1,10.0.0.2": "--dhcp-range is malformed",
    "init --root release/rootfs.squashfs --pxe=": "release/rootfs.squashfs",
    "unit install site --racks private": "private",
    "unit install site --root root --racks none": "--racks names none, which is not there",
    "unit install site --root root --fleet-token none.token": "--fleet-token names none.token, which is not there",
    "unit install site --root root --tls-cert ca.pem": "--tls-cert and --tls-key belong together",
    "unit install site --root root --dhcp-range 10.0.0.1,10.0.0.2": "--dhcp-range needs --pxe",
    "init --root new --pxe lo --dhcp-range 127.0.0.1,127.0.0.9,soon": "expected a DURATION as in 10m or 1h",
    "hook install --dracut --trust none.pub": "none.pub cannot be read",
    f"hook install --dracut {KEYS} --ca none.pem": "none.pem cannot be used",
    f"hook build-initramfs --kernel 6.1 --out out.img {KEYS} --fleet-token none.token": "none.token",
    f"hook build-initramfs --kernel 6.1 --out out.img {KEYS} --ca ca.pem --inside ipxe": "ipxe has no /usr/bin/python3",
    "simulate --scenario none.toml": "none.toml cannot be read",
    "simulate --plot none/x.svg": "none",
    "lab run --release ipxe --nodes 2": "ipxe",
    "pxe chainload 10.0.0.1 --usb none/stick.img": "none is no folder",
    "pxe chainload 10.0.0.1 --usb /proc/stick.img": "/proc/stick.img: ",
    "pxe chainload 10.0.0.1 --usb ipxe": "ipxe is no file",
    "pxe chainload 10.0.0.1/24 --grub": "SERVER is malformed",
    "plugin show none": "none cannot be read",
    "plugin show release/rootfs.squashfs --against none": "none",
    "plugin make none.sh release": "none.sh cannot be read",
    "plugin import none": "none is no plugin",
    "trace record none": "none is no release",
    "trace export none --state state": "none is not a published site",
    "serve none": "none",
    "serve site --config none.toml": "none.toml cannot be read",
    "unit show site --config none.toml": "none.toml cannot be read",
    "doctor --config none.toml": "none.toml cannot be read",
    "serve site --fleet-token none.token": "none.token",
    f"serve site --state state --racks none.racks {PXE}": "none.racks cannot be read",
    f"serve site --state state --node-files none {PXE}": "none",
    "serve site --state state --listen 127.0.0.1:0 --ui-token none.token": "none.token cannot be read",
    "serve site --listen 127.0.0.1:0 --tls-cert none.pem --tls-key none.key": "none.pem and key none.key",
    "serve site --listen 127.0.0.1:0 --state keys/swarmboot.pub": "keys/swarmboot.pub",
    "fetch --into into --server https://127.0.0.1:1 --trust none.pub": "none.pub cannot be read",
    f"fetch --into into --server https://127.0.0.1:1 {KEYS} --ca none.pem": "none.pem",
    f"fetch --into into --server https://127.0.0.1:1 {KEYS} --ca ca.pem --fleet-token none.token": "none.token",
    f"fetch --into keys/swarmboot.pub --server https://127.0.0.1:1 {KEYS} --ca ca.pem": "keys/swarmboot.pub",
}
"""A command, and what its refusal says of the file that it names."""

Run = Callable[[str], tuple[int, str, str]]
APART = "fetch"
"""The verb that changes its process for good: it is given one of its own."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder to work in."""

    folder: Path

    def run_apart(self, command: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "swarmboot", *command.split()], cwd=self.folder, capture_output=True, text=True,
            timeout=BOUND_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a folder with a release, keys, a site, a state folder, and files that are not right."""
    folder = tmp_path_factory.mktemp("desk")
    desk = Desk(folder)
    build_release(folder / "release", size_bytes=200_000)
    for command in ("keygen --out keys", "publish --force release --key keys/swarmboot.key"):
        status, _, said = desk.run_apart(command)
        assert status == 0, said
    for name in ("x.token", "x.key"):
        (folder / "site" / name).write_text("a secret")
    for name, line in (("leads-out", None), ("misspelt", "nmae = 'x'\n")):
        build_release(folder / name, size_bytes=200_000)
        if line:
            (folder / name / "release.toml").write_text(line)
        else:
            (folder / name / "rootfs.squashfs").unlink()
            (folder / name / "rootfs.squashfs").symlink_to("/etc/hostname")
    (folder / "hosts.csv").write_text("mac,name\n52:54:00:12:34:56,web-1\n")
    (folder / "private").touch(mode=0o600)
    (folder / "release.toml").write_text("no certificate")
    (folder / "ipxe").mkdir()
    (folder / "ipxe" / "undionly.kpxe").write_bytes(b"iPXE")
    from seeder.http.authority import issue_certificate

    authority = issue_certificate(folder / "state", ["127.0.0.1"]).authority
    assert authority is not None
    (folder / "ca.pem").write_bytes(authority.read_bytes())
    ledger = Ledger()
    ledger.announced(build_heard(name="node-1"), now_s=100.0)
    boot = ledger.reported(build_report(), host="10.0.3.7", now_s=110.0)
    store = Store(folder / "state")
    store.write({boot.id: boot}, frozenset({boot.id}))
    store.close()
    (folder / "root/usr/lib/swarmboot").mkdir(parents=True)
    for name in ("runtime.squashfs", "runtime.libraries"):
        (folder / "root/usr/lib/swarmboot" / name).touch()
    return desk


@pytest.fixture
def run(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command in the folder, and returns its status, its output and its complaints."""
    monkeypatch.setenv("SWARMBOOT_KEY", "keys/swarmboot.key")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))  # serve adds one

    def run(command: str) -> tuple[int, str, str]:
        if command.startswith(APART):
            return desk.run_apart(command)
        monkeypatch.setattr(sys, "argv", ["swarmboot", *command.split()])
        with chdir(desk.folder):
            try:
                main()
            except SystemExit as end:
                return int(end.code or 0), *capsys.readouterr()
            return 0, *capsys.readouterr()

    return run


def as_json(command: str) -> str:
    """Return a command with --json, before what `unit` hands on to serve."""
    words = command.split()
    at = 2 if words[0] == "unit" else len(words)
    return " ".join((*words[:at], "--json", *words[at:]))


def verb_of(command: str) -> tuple[str, ...]:
    first, second = (*command.split(), "")[:2]
    return (first, second) if (first, second) in VERBS else (first,)


def test_there_is_a_command_for_each_verb() -> None:
    assert {verb_of(command) for command in PLAINLY} | LONG | set(STREAMS) == set(VERBS)


@pytest.mark.parametrize("command", PLAINLY)
def test_a_verbs_output_is_json_where_that_is_asked_for_and_names_files_as_they_were_typed(
    desk: Desk, run: Run, command: str
) -> None:
    status, said, complaints = run(as_json(command))
    assert status == 0, complaints
    assert PLAINLY[command] in json.loads(said) or not PLAINLY[command]
    if verb_of(command) not in (("unit", "show"), ("pxe", "config")):  # programs read these, elsewhere
        assert str(desk.folder) not in said + complaints


def test_the_doctor_says_what_is_published_and_where_nothing_is(desk: Desk, run: Run) -> None:
    rest = "--state state --listen 127.0.0.1:0"
    assert "ok    site: manifest " in run(f"doctor site {rest}")[1]
    status, said, _ = run(f"doctor none {rest}")
    assert status == 0
    assert "site: none is not a published site" in said


def test_the_doctor_looks_at_what_serve_is_told_by_its_file(desk: Desk, run: Run) -> None:
    (desk.folder / "serve.toml").write_text(
        'site = "site"\nlisten = "127.0.0.1:0"\nstate = "state"\nhistory-days = 7\n'
    )
    status, said, _ = run("doctor --config serve.toml --json")
    assert status == 0
    found = {check["name"]: check["found"] for check in json.loads(said)["checks"]}
    assert found["site"].startswith("manifest ")
    assert found["ports"] == "tcp port 0 (HTTPS) is free"
    status, _, complaints = run("doctor --config serve.toml --listen here")
    assert complaints.startswith("swarmboot: --listen is malformed")


@pytest.mark.parametrize("command", WRONGLY)
def test_a_refusal_names_a_file_as_it_was_typed_and_what_to_do(desk: Desk, run: Run, command: str) -> None:
    status, said, complaints = run(command)
    assert status not in (0, 1, 2), complaints
    assert WRONGLY[command] in complaints
    assert "; " in complaints or "expected " in complaints
    assert str(desk.folder) not in said + complaints


@pytest.mark.parametrize(
    ("release", "site"),
    [("release", "site"), ("./release/", "site"), ("../desk/release", "../desk/site"), ("link", "kept/site")],
)
def test_the_site_of_a_release_is_beside_it_and_called_so(tmp_path: Path, release: str, site: str) -> None:
    from seeder.publish.cli import beside

    (tmp_path / "desk/kept/other").mkdir(parents=True)
    (tmp_path / "desk/release").mkdir()
    (tmp_path / "desk/link").symlink_to("kept/other")
    with chdir(tmp_path / "desk"):
        found = beside(Path(release))
        assert found in (Path(site), Path(os.path.realpath(site)))
        assert found.is_absolute() == (release == "link")
    with chdir(tmp_path / "desk/release"):
        assert beside(Path()) == Path("../site")


def test_misspelt_words_of_every_kind_are_answered_with_what_was_meant(desk: Desk, run: Run, tmp_path: Path) -> None:
    for name, text in (("key", "nmae = 'x'"), ("plugin", "[[profiles]]\nname = 'a'\nplugins = ['00-plugn.squashfs']")):
        build_release(tmp_path / name, size_bytes=100_000)
        (tmp_path / name / "release.toml").write_text(text)
    (tmp_path / "farm.toml").write_text("nodse = 3")
    for command, meant in (
        (f"publish {tmp_path / 'key'}", "did you mean name?"),
        (f"publish {tmp_path / 'plugin'}", "did you mean 00-plugin.squashfs?"),
        (f"verify site {KEYS} --channel stabel", "did you mean stable?"),
        (f"hook install --dracut {KEYS} --ca ca.pem --default chanel=edge", "did you mean channel?"),
        (f"simulate --scenario {tmp_path / 'farm.toml'}", "did you mean nodes?"),
        ("lab chaos --row fault-fre", "did you mean fault-free?"),
        ("fetch --cmdline swarmboot.sever=https://x", "for swarmboot.sever write swarmboot.server"),
        ("fetch --sever https://x", "--server"),
        ("serve site --uplnk 1gbit", "--uplink"),
    ):
        status, _, complaints = run(command)
        assert status != 0
        assert meant in complaints, command


def test_misspelt_variables_and_the_leechers_own_options_are_answered_too(desk: Desk) -> None:
    environment = {**os.environ, "SWARMBOOT_SEVER": "https://x", "SWARMBOOT_KEY": "k", "SWARMBOOT_WIBBLE": "1"}
    environment["SWARMBOOT_SERVE_PXE"] = "eth1"
    command = [sys.executable, "-m", "leecher", "--timeout", "1s", "--into", str(desk.folder / "into")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert "SWARMBOOT_SEVER is no setting: did you mean SWARMBOOT_SERVER?" in done.stderr
    assert "WIBBLE" not in done.stderr
    assert "SERVE_PXE" not in done.stderr
    assert "SWARMBOOT_KEY" not in done.stderr
    done = subprocess.run([*command, "--sever", "x"], capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("swarmboot: leecher takes no argument --sever; did you mean --server?")
    done = subprocess.run([*command, "--server"], capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
