"""What a command line was given that it does not take, as one line: what, expected, found, what to do.

Click says it over several lines, and in other words in each of its versions; here is the one place that says it
instead. Exit status 2 stays, as of other programs.
"""

from __future__ import annotations

import re

import click
from click.core import ParameterSource

from swarmboot.errors import SwarmbootError
from swarmboot.text.spelling import did_you_mean

_FOUND = re.compile(r"'?(?P<found>.*?)'? is not (?:a valid|one of|in the range)\b", re.DOTALL)
_EXTRA = re.compile(r"Got unexpected extra arguments? \((?P<found>.*)\)\Z", re.DOTALL)
_ENVIRONMENT = ParameterSource.ENVIRONMENT
_NUMBERS = {click.INT: "a whole number", click.FLOAT: "a number"}


def usage_refusal(error: click.ClickException) -> SwarmbootError:
    """Return what click refuses, in the words of this program; what comes of itself as one line stays as it is."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{context.command_path} --help` says more" if context is not None else "--help behind the verb says more"
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [flag for parameter in context.command.get_params(context) for flag in _flags(parameter)]
        meant = did_you_mean(error.option_name, known)
        return SwarmbootError(
            f"{context.command_path} has no option {error.option_name}", hint=" ".join(filter(None, (meant, hint)))
        )
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return SwarmbootError(
            f"{_command(context)} needs {_named(error.param)}", expected=_form(error.param, context), found="none",
            hint=hint,
        )  # fmt: skip
    if isinstance(error, click.BadParameter) and error.param is not None:
        return _bad_value(error, error.param, hint)
    if isinstance(error, click.BadOptionUsage):
        has_none = "requires" in error.message
        return SwarmbootError(f"{error.option_name} {'needs a value' if has_none else 'takes no value'}", hint=hint)
    if (extra := _EXTRA.match(error.format_message())) and context is not None:
        return SwarmbootError(
            f"{context.command_path} takes no more arguments", expected=_usage(context), found=extra["found"], hint=hint
        )
    message = error.format_message().strip().removesuffix(".")
    return SwarmbootError(f"{message[:1].lower()}{message[1:]}", hint=hint)


def _bad_value(error: click.BadParameter, parameter: click.Parameter, hint: str) -> SwarmbootError:
    expected, found = _expected(parameter.type), _FOUND.match(error.message)
    is_set = error.ctx is not None and error.ctx.get_parameter_source(parameter.name or "") is _ENVIRONMENT
    name = str(parameter.envvar) if is_set and isinstance(parameter.envvar, str) else _named(parameter)
    if not expected or found is None:
        message = error.message.strip().removesuffix(".")
        return SwarmbootError(f"{name} cannot be used: {message}", hint=hint)
    return SwarmbootError(f"{name} is malformed", expected=expected, found=found["found"], hint=hint)


def _expected(kind: object) -> str:
    """Return what a type takes, in words; nothing for one whose own message says it."""
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(str(getattr(each, 'value', each)) for each in kind.choices)}"
    for whole, what in _NUMBERS.items():
        if isinstance(kind, type(whole)):
            least, most = getattr(kind, "min", None), getattr(kind, "max", None)
            span = f" from {least}" if least is not None else ""
            return f"{what}{span}{f' to {most}' if most is not None else ''}"
    return "on or off" if isinstance(kind, type(click.BOOL)) else ""


def _flags(parameter: click.Parameter) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts] if isinstance(parameter, click.Option) else []


def _named(parameter: click.Parameter) -> str:
    """Return a parameter as it is typed: an option by its longest name, an argument by its word."""
    return max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.human_readable_name


def _form(parameter: click.Parameter, context: click.Context | None) -> str:
    """Return how it is typed: an option with its value, or the command with all of its arguments."""
    if isinstance(parameter, click.Option) or context is None:
        kind = parameter.type
        value = parameter.metavar or (f"[{'|'.join(map(str, kind.choices))}]" if isinstance(kind, click.Choice) else "")
        return f"{_named(parameter)} {value or kind.name.upper()}"
    return _usage(context)


def _usage(context: click.Context) -> str:
    return " ".join((context.command_path, *context.command.collect_usage_pieces(context)))


def _command(context: click.Context | None) -> str:
    return context.command_path if context is not None else "the command"
