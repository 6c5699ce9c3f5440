"""A command whose every option may stand in a TOML file and in the environment as well, made of its click options.

What is typed goes over the environment, and that over the file (click's `default_map`). A key of the file is an option
without its dashes, or the argument's name; a relative path in it begins where the file is. What a file says is checked
as it is read, by the options themselves, and refused with the file and the key.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from swarmboot.errors import (
    MalformedSettingError,
    ReleaseError,
    SwarmbootError,
    UnknownSettingError,
    UnreadableError,
)
from swarmboot.host.text_files import read_text
from swarmboot.text.spelling import did_you_mean
from swarmboot.text.toml import TomlError, parse_toml
from swarmboot.usage import usage_refusal

_WIDTH, _SHOWN_MAX = 110, 80
_FILE, _PRINT, _READ = "config", "print_config", "swarmboot.config_file"
_NOT_IN_A_FILE = frozenset({_FILE, _PRINT, "help"})


class ConfiguredCommand(click.Command):
    """A click command that reads its options from a file too: `--config FILE`, else `config_file` where that exists.

    `environment` is what its variables begin with: PREFIX_LISTEN is --listen.
    """

    def __init__(self, *more: Any, config_file: Path, environment: str, **named: Any) -> None:
        super().__init__(*more, **named)
        self._usual, self._environment = config_file, environment
        for parameter in in_a_file(self):
            parameter.envvar = f"{environment}_{key_of(parameter).upper().replace('-', '_')}"
        where = f"Options in TOML, each without its dashes.  [default: {config_file}, if it exists]  The environment "
        self.params += (
            click.Option(
                ["--config"], type=click.Path(path_type=Path), metavar="FILE", envvar=f"{environment}_CONFIG",
                is_eager=True, expose_value=False, callback=self._load,
                help=f"{where}({environment}_LISTEN for --listen) goes over it.",
            ),
            click.Option(
                ["--print-config"], is_flag=True, is_eager=True, expose_value=False, callback=_wants_print,
                help="Print such a file with every option, those that are given set, and do nothing else.",
            ),
        )  # fmt: skip

    def _load(self, context: click.Context, _option: click.Parameter, path: Path | None) -> None:
        if path is None and self._usual.exists():
            path = self._usual
        if path is not None and not context.resilient_parsing:
            context.default_map = {**(context.default_map or {}), **read_config(self, path)}
            context.meta[_READ] = path

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; with --print-config print a file in place of going on."""
        given = list(args)
        if not ctx.resilient_parsing:
            self._check_environment(os.environ)
        with naming_the_file(ctx):
            rest = super().parse_args(ctx, args)
        if ctx.meta.get(_PRINT):
            click.echo(config_text(self, given_values(ctx, given), self._usual, self._environment), nl=False)
            ctx.exit()
        return rest

    def _check_environment(self, names: Iterable[str]) -> None:
        """Raise UnknownSettingError for a variable that is meant for this command and is no option's."""
        known = [str(parameter.envvar) for parameter in self.params if parameter.envvar]
        for name in sorted(names):
            if name.startswith(f"{self._environment}_") and name not in known:
                hint = did_you_mean(name, known) or "take it out of the environment"
                raise UnknownSettingError(f"{name} is no option of {self.name}", hint=hint)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it refuses of an option that stands in the file is refused with file and key."""
        with naming_the_file(ctx):
            return super().invoke(ctx)


def _wants_print(context: click.Context, _option: click.Parameter, is_wanted: bool) -> None:
    context.meta[_PRINT] = is_wanted and not context.resilient_parsing


def config_file_of(context: click.Context) -> Path | None:
    """Return the file that a command's options were read from, None without one."""
    path: Path | None = context.meta.get(_READ)
    return path


def in_a_file(command: click.Command) -> list[click.Parameter]:
    """Return the options and arguments of a command that may stand in a file."""
    return [parameter for parameter in command.params if parameter.name not in _NOT_IN_A_FILE]


def key_of(parameter: click.Parameter) -> str:
    """Return how a file calls a parameter: its longest name without dashes."""
    return max(parameter.opts, key=len).lstrip("-")


def read_config(command: click.Command, path: Path) -> dict[str, Any]:
    """Return a command's values in a file, by parameter, as its `default_map` takes them.

    Raises UnreadableError for what cannot be read, UnknownSettingError for a key that no option has,
    MalformedSettingError for what is no text or no TOML and for a value that its option does not take.
    """
    try:
        table = parse_toml(read_text(path, label=str(path)))
    except UnreadableError:
        raise
    except ReleaseError as error:  # what is no text is a release's fault elsewhere
        raise MalformedSettingError(error.what, expected=error.expected, found=error.found) from error
    except TomlError as error:
        raise MalformedSettingError(
            f"{path} is no TOML", found=str(error), hint='as in listen = "0.0.0.0:8470"'
        ) from error
    known = {key_of(parameter): parameter for parameter in in_a_file(command)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            hint = did_you_mean(key, known) or f"`{command.name} --print-config` names them all"
            raise UnknownSettingError(f"{path}: {key} is no option of {command.name}", hint=hint)
        _check_kind(known[key], value, label=f"{path}: {key}")
        values[known[key].name or key] = _from_file(known[key], value, path.parent)
        _check_value(known[key], values[known[key].name or key], label=f"{path}: {key}")
    return values


def _check_kind(parameter: click.Parameter, value: Any, *, label: str) -> None:
    """Raise MalformedSettingError for a value of another kind than the parameter's."""
    if getattr(parameter, "is_flag", False):
        is_right, expected = isinstance(value, bool), "true or false"
    elif getattr(parameter, "multiple", False):
        is_right = isinstance(value, list) and all(isinstance(each, str) for each in value)
        expected = f'a list of texts, as in ["{_word(parameter)}"]'
    elif isinstance(parameter.type, click.types.IntParamType):
        is_right, expected = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        is_right, expected = isinstance(value, str), f'a text, as in "{_word(parameter)}"'
    if is_right and isinstance(parameter.type, click.Path) and value == "":
        is_right, expected = False, "a file or folder; take the line out for none"
    if not is_right:
        raise MalformedSettingError(f"{label} has the wrong value", expected=expected, found=_shown(value))


def _check_value(parameter: click.Parameter, value: Any, *, label: str) -> None:
    """Raise MalformedSettingError for a value that the parameter itself refuses."""
    try:
        parameter.process_value(click.Context(click.Command("")), value)
    except click.BadParameter as error:
        refusal = usage_refusal(error)
        found = refusal.found or error.message.removesuffix(".")
        raise MalformedSettingError(f"{label} has the wrong value", expected=refusal.expected, found=found) from error
    except SwarmbootError as error:
        raise _named(error, label) from error


def _named(error: SwarmbootError, label: str) -> SwarmbootError:
    return type(error)(f"{label}: {error.what}", expected=error.expected, found=error.found, hint=error.hint)


def _from_file(parameter: click.Parameter, value: Any, folder: Path) -> Any:
    """Return a value as it stands in a file, a path from where the file is."""
    return str(folder / value) if isinstance(parameter.type, click.Path) else value


@contextmanager
def naming_the_file(context: click.Context) -> Iterator[None]:
    """Have a refusal of an option that a file or the environment says tell so: options are named as they are typed."""
    try:
        yield
    except SwarmbootError as error:
        for parameter in in_a_file(context.command):
            source = context.get_parameter_source(parameter.name or "")
            if error.what.split(" ", 1)[0] not in parameter.opts:
                continue
            if source is ParameterSource.DEFAULT_MAP and (path := config_file_of(context)):
                raise _named(error, f"{path}: {key_of(parameter)}") from error
            if source is ParameterSource.ENVIRONMENT:
                raise _named(error, str(parameter.envvar)) from error
        raise


def given_values(context: click.Context, arguments: Sequence[str]) -> dict[str, Any]:
    """Return by parameter what a command was given by its line, the environment or a file, as texts or as TOML has it.

    Paths that were typed are absolute.
    """
    typed, _, _ = context.command.make_parser(context).parse_args(list(arguments))
    values: dict[str, Any] = {}
    for parameter in in_a_file(context.command):
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is ParameterSource.DEFAULT_MAP:
            values[name] = (context.default_map or {})[name]
        elif source is ParameterSource.COMMANDLINE:
            values[name] = _absolute(parameter, typed[name])
        elif source is ParameterSource.ENVIRONMENT:
            values[name] = _absolute(parameter, parameter.value_from_envvar(context))
    return values


def _absolute(parameter: click.Parameter, value: Any) -> Any:
    if isinstance(parameter.type, click.Path):
        return os.path.abspath(value)  # noqa: PTH100 - a symbolic link stays what the operator named
    return list(value) if isinstance(value, tuple) else value


def config_text(command: click.Command, values: Mapping[str, Any], path: Path, environment: str) -> str:
    """Return a file of all options of a command with what each is for; those with a value here count."""
    head = (
        f"Options of `swarmboot {command.name}`, which reads {path} or what --config names. The command line goes over "
        f"this file, and so does the environment ({environment}_LISTEN). What is commented out is the default, or "
        "says how a value looks. Relative paths begin at this file's folder."
    )
    blocks = [_comment(head)]
    for parameter in in_a_file(command):
        said = getattr(parameter, "help", None) or (command.help or "").partition("\n")[0]  # an argument has none
        name = parameter.name or ""
        value = _in_toml(parameter, values[name]) if name in values else _default(parameter)
        line = f"{key_of(parameter)} = {value}"
        blocks.append(f"{_comment(said)}\n{line if name in values else f'#{line}'}")
    return "\n\n".join(blocks) + "\n"


def _comment(text: str) -> str:
    words = " ".join(text.split())
    return textwrap.fill(words, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _default(parameter: click.Parameter) -> str:
    """Return the default as TOML has it; without one, how a value looks."""
    default = parameter.default
    if getattr(parameter, "is_flag", False):  # off, where nothing is said: click 8.3 and later have no value for it
        default = default is True
    is_said = isinstance(default, (str, int)) and default != ""
    if is_said and not getattr(parameter, "multiple", False):
        return _in_toml(parameter, default)
    word = _text(_word(parameter))
    return f"[{word}]" if getattr(parameter, "multiple", False) else word


def _word(parameter: click.Parameter) -> str:
    return parameter.metavar or ("PATH" if isinstance(parameter.type, click.Path) else key_of(parameter).upper())


def _in_toml(parameter: click.Parameter, value: Any) -> str:
    """Return a value in TOML; raise MalformedSettingError for one that no line of it can hold."""
    if getattr(parameter, "multiple", False):
        return f"[{', '.join(_text(str(each)) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(parameter.type, click.types.IntParamType) else _text(str(value))


def _text(value: str) -> str:
    """Return a text as a basic string of TOML, which one of JSON is."""
    if not value.isprintable():
        raise MalformedSettingError("a file of options cannot hold this", expected="one line", found=repr(value))
    return json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."
