"""The file of options that `serve` reads: made of its options, over its defaults, below what is typed."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from seeder.serve.cli import CONFIG_FILE, serve
from seeder.serve.unit_cli import check_readable, plan_unit
from seeder.systemd.unit import credential, unit_text
from swarmboot.config_file import config_text, in_a_file, key_of
from swarmboot.errors import MalformedSettingError, SwarmbootError, UnknownSettingError, UnreadableError
from swarmboot.usage import usage_refusal

KEYS = {key_of(parameter): parameter for parameter in in_a_file(serve)}
EXAMPLES: dict[str, Any] = {
    "site": "site", "listen": "127.0.0.1:9", "uplink": "900mbit", "origin": ["https://a:1", "https://b:2"],
    "tls-cert": "a.pem", "tls-key": "a.key", "name": ["boot.example", "10.0.0.1"], "state": "state",
    "fleet-token": "fleet.token", "status-from": ["10.0.0.0/24"], "ui-token": "ui.token", "history-days": 7,
    "history-size": "64MiB", "stuck-after": "2min", "syslog": ":514", "netconsole": ":6666", "loki": "http://loki:3100",
    "log-format": "json", "pxe": "eth1", "dhcp-range": "10.0.0.10,10.0.0.20", "pxe-listen": "10.0.0.1:80",
    "dhcp-option": ["router,10.0.0.254", "dns-server,1.1.1.1"], "dhcp-conf": "more.conf", "server": "https://b:8470",
    "stage0-trust": "lan", "stage0-slots": 3, "racks": "racks", "node-files": "nodes", "ipxe": "ipxe",
    "boot-menu": "menus", "u-boot": True, "boards": "boards", "u-boot-unchecked": True,
}  # fmt: skip
"""A value for each option that is not its default."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where relative paths lead nowhere, with a file of options elsewhere, and a site beside that."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "etc/more.conf").touch()
    for name in ("manifests/1.swarm", "channels/stable.swarm"):
        (tmp_path / "etc/site" / name).parent.mkdir(parents=True)
        (tmp_path / "etc/site" / name).touch()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def written(folder: Path, **values: Any) -> str:
    """Write a file of options as `--print-config` would and return its name as it is typed from `here`."""
    by_name = {str(KEYS[key.replace("_", "-")].name): value for key, value in values.items()}
    (folder / "etc/serve.toml").write_text(config_text(serve, by_name, CONFIG_FILE, "SWARMBOOT_SERVE"))
    return "../etc/serve.toml"


def params(*arguments: str) -> dict[str, Any]:
    return serve.make_context("serve", [*arguments]).params


def as_typed(key: str, value: Any) -> list[str]:
    parameter = KEYS[key]
    if value is True:
        return [f"--{key}"]
    values = value if isinstance(value, list) else [value]
    if isinstance(parameter.type, click.Path):
        values = [f"../etc/{each}" for each in values]
    words = [[str(each)] if isinstance(parameter, click.Argument) else [f"--{key}", str(each)] for each in values]
    return [word for pair in words for word in pair]


def test_there_is_an_example_for_every_option() -> None:
    assert EXAMPLES.keys() == KEYS.keys()


@pytest.mark.parametrize("key", KEYS)
def test_an_option_in_the_file_is_the_option_typed(folder: Path, key: str) -> None:
    path = written(folder, **{key: EXAMPLES[key]})
    name = KEYS[key].name
    assert params("--config", path) == params(*as_typed(key, EXAMPLES[key]))
    assert params("--config", path)[name] != params()[name]


def test_a_printed_file_has_every_option_with_its_help_and_says_nothing_but_defaults_when_all_of_it_counts(
    folder: Path,
) -> None:
    text = CliRunner().invoke(serve, ["--print-config"]).output
    assert tomllib.loads(text) == {}
    lines = dict(re.findall(r"^#([a-z0-9-]+) = (.*)$", text, re.MULTILINE))
    assert lines.keys() == KEYS.keys()
    flat = " ".join(text.replace("# ", "").split())
    for parameter in in_a_file(serve):
        assert " ".join((getattr(parameter, "help", None) or "Serve a published SITE").split()) in flat
    has_default = [key for key, line in lines.items() if not re.fullmatch(r'\[?"[A-Z]+.*', line)]
    assert {"listen", "history-days", "stage0-trust", "stuck-after", "ipxe"} < set(has_default)
    (folder / "etc/serve.toml").write_text("\n".join(f"{key} = {lines[key]}" for key in has_default))
    found = params("--config", "../etc/serve.toml")
    differing = {name for name, value in params().items() if found[name] != value}
    assert differing == {"site"}  # a path, which the file says from where it is


def test_a_switch_is_printed_as_off_whatever_click_has_for_its_default() -> None:
    text = config_text(serve, {}, CONFIG_FILE, "SWARMBOOT_SERVE")
    switches = [key for key, parameter in KEYS.items() if getattr(parameter, "is_flag", False)]
    assert switches
    for key in switches:
        assert f"\n#{key} = false\n" in f"{text}\n"


def test_what_is_typed_goes_over_the_environment_and_that_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(folder, listen="127.0.0.1:1", pxe="eth1", origin=["https://a:1"])
    monkeypatch.setenv("SWARMBOOT_SERVE_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("SWARMBOOT_SERVE_ORIGIN", "https://b:2 https://c:3")
    found = params("--config", path, "--listen", "127.0.0.1:3")
    assert (found["address"], found["pxe"], found["origins"]) == ("127.0.0.1:3", "eth1", ("https://b:2", "https://c:3"))
    assert params("--config", path)["address"] == "127.0.0.1:2"
    monkeypatch.delenv("SWARMBOOT_SERVE_LISTEN")
    assert params("--config", path)["address"] == "127.0.0.1:1"


def test_a_variable_that_no_option_has_is_refused_with_the_one_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMBOOT_SERVE_LISTN", "127.0.0.1:1")
    with pytest.raises(UnknownSettingError, match="did you mean SWARMBOOT_SERVE_LISTEN"):
        params()


def test_the_file_itself_may_be_named_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMBOOT_SERVE_CONFIG", written(folder, pxe="eth7"))
    assert params()["pxe"] == "eth7"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ('uplnk = "1gbit"', UnknownSettingError, "serve.toml: uplnk is no option of serve; did you mean uplink?"),
        ('dhcp_range = "a"', UnknownSettingError, "did you mean dhcp-range?"),
        ('address = "127.0.0.1:1"', UnknownSettingError, "--print-config` names them all"),
        ("[serve]\n", UnknownSettingError, "serve.toml: serve is no option of serve"),
        ("config = 'x'", UnknownSettingError, "config is no option"),
        ("uplink = 900", MalformedSettingError, 'uplink has the wrong value: expected a text, as in "RATE", found 900'),
        (
            "origin = 'https://a:1'",
            MalformedSettingError,
            "origin has the wrong value: expected a list of texts, as in",
        ),
        ("origin = [1]", MalformedSettingError, "found [1]"),
        ("history-days = '7'", MalformedSettingError, 'expected a whole number, found "7"'),
        ("history-days = true", MalformedSettingError, "expected a whole number, found true"),
        (
            "history-days = 0",
            MalformedSettingError,
            "history-days has the wrong value: expected a whole number from 1 to 3650, found 0",
        ),
        ("stage0-trust = 'all'", MalformedSettingError, "stage0-trust has the wrong value"),
        ("uplink = 'fast'", MalformedSettingError, "serve.toml: uplink: --uplink is malformed"),
        ("name = ['https://x']", MalformedSettingError, "serve.toml: name: --name is no host"),
        ("racks = ''", MalformedSettingError, "racks has the wrong value: expected a file or folder"),
        ("dhcp-conf = 'none'", MalformedSettingError, "serve.toml: dhcp-conf has the wrong value"),
        ("pxe = ", MalformedSettingError, "serve.toml is no TOML"),
        ("pxe = 'a'\npxe = 'b'", MalformedSettingError, "serve.toml is no TOML"),
        ("listen = '8470'", MalformedSettingError, "serve.toml: listen: --listen is malformed: expected ADDR:PORT"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line_with_the_file_and_the_key(
    folder: Path, text: str, kind: type[SwarmbootError], said: str
) -> None:
    (folder / "etc/serve.toml").write_text(text)
    with pytest.raises(kind) as found:
        serve.main(["../etc/site", "--state", "state", "--config", "../etc/serve.toml"], standalone_mode=False)
    assert said in str(found.value)
    assert "../etc/serve.toml" in str(found.value)
    assert not list((folder / "here").iterdir())


@pytest.mark.parametrize("name", ["none.toml", "site"])
def test_a_file_that_cannot_be_read_is_refused_by_its_name(folder: Path, name: str) -> None:
    with pytest.raises(UnreadableError, match=re.escape(f"../etc/{name} cannot be read")):
        params("--config", f"../etc/{name}")


def test_what_is_wrong_on_the_line_is_not_laid_at_the_files_door(folder: Path) -> None:
    with pytest.raises(MalformedSettingError, match=r"^--listen is malformed"):
        serve.main(
            ["../etc/site", "--state", "state", "--listen", "here", "--config", written(folder, pxe="eth1")],
            standalone_mode=False,
        )


def test_a_command_line_becomes_a_file_that_means_the_same_from_anywhere(folder: Path) -> None:
    line = [word for key, value in EXAMPLES.items() for word in as_typed(key, value)]
    (folder / "printed.toml").write_text(CliRunner().invoke(serve, [*line, "--print-config"]).output)
    typed, read = params(*line), params("--config", "../printed.toml")
    for name, value in typed.items():
        assert read[name] == (value.resolve() if isinstance(value, Path) else value), name


def test_a_unit_names_the_file_and_has_its_rights_and_secrets(folder: Path) -> None:
    path = written(folder, site="site", pxe="eth1", dhcp_range="10.0.0.10,10.0.0.20", fleet_token="fleet.token")
    lines = unit_text(plan_unit(("--config", path, "--uplink", "1gbit"))).splitlines()
    (command,) = [line for line in lines if line.startswith("ExecStart=")]
    words = shlex.split(command)
    assert words[words.index("serve") + 1 :] == [
        "--config", str(folder / "etc/serve.toml"), "--uplink", "1gbit", "--fleet-token", credential("fleet-token"),
    ]  # fmt: skip
    assert f"LoadCredential=fleet-token:{folder}/etc/fleet.token" in lines
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_NET_RAW" in lines


def test_a_unit_is_refused_what_the_file_says_wrong(folder: Path) -> None:
    with pytest.raises(MalformedSettingError, match=r"\.\./etc/serve\.toml: state: --state is the service's own"):
        plan_unit(("--config", written(folder, site="site", state="state")))
    written(folder, site="site")
    (folder / "etc/serve.toml").chmod(0o600)
    plan = plan_unit(("--config", "../etc/serve.toml"))
    with pytest.raises(UnreadableError, match=r"cannot read \.\./etc/serve\.toml"):
        check_readable(plan.reads, names=plan.typed)


@pytest.mark.parametrize("word", ['a "b" \\ c', "größe", "\U0001f40d", "a'b"])
def test_texts_of_every_kind_come_back_out_of_a_printed_file(folder: Path, word: str) -> None:
    text = CliRunner().invoke(serve, ["--racks", f"/srv/{word}", "--print-config"]).output
    assert tomllib.loads(text) == {"racks": f"/srv/{word}"}


def test_what_no_line_can_hold_is_printed_into_no_file() -> None:
    done = CliRunner().invoke(serve, ["--racks", "/srv/a\nb", "--print-config"])
    assert isinstance(done.exception, MalformedSettingError)
    assert done.output == ""


def test_what_is_no_text_is_a_fault_of_the_settings(folder: Path) -> None:
    (folder / "etc/serve.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(MalformedSettingError, match=r"serve\.toml is no text: expected UTF-8, found other bytes at 0"):
        serve.main(["../etc/site", "--state", "state", "--config", "../etc/serve.toml"], standalone_mode=False)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SWARMBOOT_SERVE_UPLINK", "fast", "SWARMBOOT_SERVE_UPLINK: --uplink is malformed: expected a number"),
        ("SWARMBOOT_SERVE_HISTORY_DAYS", "x", "SWARMBOOT_SERVE_HISTORY_DAYS is malformed: expected a whole number"),
    ],
)
def test_what_the_environment_says_wrongly_is_refused_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises((SwarmbootError, click.UsageError)) as found:
        serve.main(["../etc/site", "--state", "state", "--config", "/dev/null"], standalone_mode=False)
    error = found.value
    assert said in str(usage_refusal(error) if isinstance(error, click.ClickException) else error)
