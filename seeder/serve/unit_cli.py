"""The verb `swarmboot unit`: a systemd unit for `swarmboot serve`, made from the same options."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from seeder.systemd.unit import (
    NAME,
    SOCKET,
    ServeUnit,
    credential,
    is_hidden,
    needed_capabilities,
    socket_text,
    unit_text,
)
from swarmboot.config_file import config_file_of, given_values, in_a_file, naming_the_file
from swarmboot.errors import MalformedSettingError, PrivilegeError, UnreadableError
from swarmboot.host.files import write_whole
from swarmboot.parameters import JSON
from swarmboot.release import layout
from swarmboot.verbs import Verbs

FOLDER = Path("etc/systemd/system")
_SECRETS = ("tls_cert", "tls_key", "fleet_token", "ui_token")
_ARGUMENTS = click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[SITE] [OPTIONS OF serve]...",
                            shell_complete=lambda _ctx, _param, word: [CompletionItem(word, type="file")])  # fmt: skip


class AsServe(click.Command):
    """A command that hands `serve` what it does not know itself; shells complete the options of both."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"context_settings": {"ignore_unknown_options": True}, **named})

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters; for a shell that completes, the options of `serve` as well."""
        own = super().get_params(ctx)
        if not ctx.resilient_parsing:
            return own
        from seeder.serve.cli import serve

        taken = {option for parameter in own for option in parameter.opts}
        return [*own, *(each for each in serve.params if isinstance(each, click.Option) and not taken & {*each.opts})]


@click.group(cls=Verbs)
def unit() -> None:
    """Run `swarmboot serve` as a service of systemd, under a user of its own.

    It takes what `serve` takes; what is not typed is what /etc/swarmboot/serve.toml says.

    \b
    Example:
      swarmboot unit install /srv/swarmboot/site --uplink 900mbit
      systemctl enable --now swarmboot
    """


@unit.command(cls=AsServe)
@click.option("--socket", "is_socket", is_flag=True, help="Print the socket unit of `install --socket` instead.")
@JSON
@_ARGUMENTS
def show(arguments: tuple[str, ...], is_socket: bool, is_json: bool) -> None:
    """Print the unit and change nothing.

    \b
    Example:
      swarmboot unit show /srv/swarmboot/site --pxe eth1 --dhcp-range 10.0.0.100,10.0.0.250
    """
    plan = plan_unit(arguments)
    name, text = (SOCKET, socket_text(plan)) if is_socket else (NAME, unit_text(plan))
    click.echo(json.dumps({"path": str("/" / FOLDER / name), "unit": text}) if is_json else text, nl=is_json)


@unit.command(cls=AsServe)
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), show_default=True,
              help="Folder to install under.")  # fmt: skip
@click.option("--socket/--no-socket", "is_socket", default=None,
              help="Have systemd hold the port, so that no node is refused while the service starts anew. "
                   "[default: as it is]")  # fmt: skip
@JSON
@_ARGUMENTS
def install(root: Path, arguments: tuple[str, ...], is_socket: bool | None, is_json: bool) -> None:
    """Put the unit into /etc/systemd/system; start nothing. May be run again with other options.

    \b
    Example:
      swarmboot unit install /srv/swarmboot/site --uplink 900mbit
      systemctl enable --now swarmboot
    """
    plan = plan_unit(arguments, is_checked=True)
    check_readable(plan.reads, names=plan.typed)
    unit_path, socket_path = root / FOLDER / NAME, root / FOLDER / SOCKET
    was_socket = socket_path.exists()
    has_socket = was_socket if is_socket is None else is_socket
    texts = {unit_path: unit_text(plan), **({socket_path: socket_text(plan)} if has_socket else {})}
    wanted = socket_path.parent / "sockets.target.wants" / SOCKET
    _put(texts, gone=() if has_socket else (wanted, socket_path))
    stopping = f"systemctl stop {SOCKET} && " if was_socket and not has_socket else ""
    starting = f"systemctl enable --now {SOCKET} swarmboot" if has_socket else "systemctl enable --now swarmboot"
    done = {"installed": str(unit_path), "next": f"{stopping}systemctl daemon-reload && {starting}"}
    if has_socket:
        done["socket"] = str(socket_path)
    click.echo(json.dumps(done) if is_json else f"installed {' and '.join(map(str, texts))}; now run: {done['next']}")


def _put(texts: Mapping[Path, str], *, gone: Iterable[Path]) -> None:
    """Write units and remove others; raise PrivilegeError where this user may not."""
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode(), mode=0o644)
        for path in gone:
            path.unlink(missing_ok=True)
    except PermissionError as error:
        raise PrivilegeError(f"{next(iter(texts))} cannot be written", hint="run it with sudo") from error


def plan_unit(arguments: tuple[str, ...], *, needs_site: bool = True, is_checked: bool = False) -> ServeUnit:
    """Return the unit for what `swarmboot serve` is to be given, with every path absolute.

    Raises what `serve` would say of its options, and SiteError if there is no site and one is needed. If `is_checked`,
    what they name must be there, and fit together.
    """
    from seeder.serve.cli import serve

    context = serve.make_context("swarmboot serve", list(arguments))
    with naming_the_file(context):
        if is_checked:
            _check_as_serve(context)
        return _plan(context, arguments, needs_site=needs_site)


def _plan(context: click.Context, arguments: tuple[str, ...], *, needs_site: bool) -> ServeUnit:
    from seeder.serve.listen_at import parse_listen
    from seeder.serve.watching import WatchingFlags
    from seeder.stage0.cli import Stage0Flags

    given = context.params
    if given["state"] is not None:
        raise MalformedSettingError(
            "--state is the service's own", expected="no --state: it is /var/lib/swarmboot", found=str(given["state"])
        )
    if needs_site:
        layout.check_site(given["site"])
    flags = Stage0Flags(**{name: given[name] for name in Stage0Flags.__dataclass_fields__ if name in given})
    address = parse_listen(given["address"])
    ports = [address[1], *([flags.port(parse_listen)] if flags.is_wanted else ())]
    ports += WatchingFlags(**{name: given[name] for name in WatchingFlags.__dataclass_fields__}).ports(parse_listen)
    secrets = {name: _absolute(given[name]) for name in _SECRETS if given.get(name) is not None}
    paths = [value for name, value in given.items() if isinstance(value, Path) and name not in secrets]
    paths += filter(None, [config_file_of(context)])
    code = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent.parent.parent)
    return ServeUnit(
        command=(sys.executable, "-I", "-m", "swarmboot", "serve", *_again(context, arguments)),
        credentials={_word(name): path for name, path in secrets.items()},
        reads=tuple(_absolute(path) for path in (*paths, *code)),
        typed={_absolute(path): path for path in paths},
        capabilities=needed_capabilities(ports, has_dnsmasq=bool(flags.pxe)),
        address=address,
    )


def _check_as_serve(context: click.Context) -> None:
    """Raise what `serve` would say at its start of options that do not fit together and of files that are not there."""
    from seeder.serve.start import check_certificate_pair
    from seeder.stage0.cli import Stage0Flags

    given = context.params
    check_certificate_pair(given["tls_cert"], given["tls_key"])
    Stage0Flags(**{name: given[name] for name in Stage0Flags.__dataclass_fields__ if name in given}).check()
    for parameter in in_a_file(context.command):
        path = given.get(parameter.name or "")
        if not isinstance(path, Path) or isinstance(parameter, click.Argument) or parameter.name == "state":
            continue
        is_default = context.get_parameter_source(parameter.name or "") is ParameterSource.DEFAULT
        if not is_default and not path.exists():
            what = f"{parameter.opts[0]} names {path}, which is not there"
            raise UnreadableError(what, hint="make it first, or leave the option out")


def _again(context: click.Context, arguments: tuple[str, ...]) -> Iterator[str]:
    """Return the arguments that a command was given, as typed, but paths absolute and secrets credentials.

    What its file says stays there, where it can be changed, but for the secrets.
    """
    if (path := config_file_of(context)) is not None:
        yield from ("--config", str(_absolute(path)))
    values = given_values(context, arguments)
    for parameter in in_a_file(context.command):
        name = parameter.name or ""
        is_in_file = context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP
        if name in _SECRETS and name in values:
            yield from (parameter.opts[0], credential(_word(name)))
        elif isinstance(parameter, click.Argument) and not is_in_file:
            yield str(_absolute(context.params[name]))
        elif name in values and not is_in_file:
            value = values[name]
            for each in value if isinstance(value, list) else (value,):
                yield from (parameter.opts[0], each)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a symbolic link stays what the operator named


def _word(name: str) -> str:
    return name.replace("_", "-")


def check_readable(paths: Iterable[Path], *, names: Mapping[Path, Path]) -> None:
    """Raise UnreadableError for a file or folder that another user than its owner cannot read; `names` say it."""
    for path in paths:
        above = () if is_hidden(path) else path.parents
        for each, wanted in ((path, stat.S_IROTH), *((folder, stat.S_IXOTH) for folder in above)):
            if each.exists() and not each.stat().st_mode & wanted:
                said = names.get(each, each)
                raise UnreadableError(
                    f"the service's user cannot read {names.get(path, path)}",
                    found=f"{said} has mode {stat.S_IMODE(each.stat().st_mode):04o}",
                    hint=f"chmod o+rX {said}, or move it",
                )
