"""The `swarmboot` command: a click group that finds each part's verbs through entry points and exits by error.

It knows no part. A verb is any entry point of the group `swarmboot.commands`; it is imported only when it is called or
its own help is shown, so that `swarmboot fetch` never pays for the simulator. The list of verbs takes each one's first
line from its source, which is read and not run.
"""

from __future__ import annotations

import ast
import errno
import importlib.util
import os
import sys
from importlib.abc import InspectLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from swarmboot import __version__
from swarmboot.errors import SpaceError, SwarmbootError, UnreadableError, missing_module
from swarmboot.usage import usage_refusal
from swarmboot.verbs import Verbs, first_line

GROUP = "swarmboot.commands"
BUNDLED = Path(__file__).parent / "bundled"
"""What a distribution's package brings because the distribution's own is too old: it goes before that."""
_INTERRUPTED = 130
_HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""How newer versions of click end a command that shows its help because it was given nothing."""


class EntryPointGroup(Verbs):
    """A click group whose commands are the installed entry points of `swarmboot.commands`."""

    def _found(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs' names in alphabetical order."""
        return sorted({*super().list_commands(ctx), *self._found()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb of that name, imported now, or None."""
        entry = self._found().get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        command = entry.load()
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs that a word may become, without importing any: a shell waits for it at each key."""
        found = {name: entry for name, entry in self._found().items() if name.startswith(incomplete)}
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=_first_line(entry)) for name, entry in sorted(found.items())]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the list of verbs without importing any."""
        rows = [(name, _first_line(entry)) for name, entry in sorted(self._found().items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _first_line(entry: EntryPoint) -> str:
    """Return what the docstring of an entry point's function begins with; nothing if its source is not there."""
    source = _source_of(entry.module)
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == entry.attr:
            return first_line(ast.get_docstring(node))
    return ""


def _source_of(module: str) -> str:
    """Return a module's source as its loader finds it, or nothing."""
    spec = importlib.util.find_spec(module)
    loader = spec.loader if spec else None
    return (loader.get_source(module) or "") if isinstance(loader, InspectLoader) else ""


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="swarmboot")
def swarmboot() -> None:
    """Boot a whole rack from one small server: every booted node helps the next ones.

    \b
    Begin with:
      swarmboot publish release/      sign and publish a root image and its plugins
      swarmboot serve                 serve it to a rack
      swarmboot fetch --help          what a node runs
    """


def exit_for(error: SwarmbootError | OSError) -> NoReturn:
    """Print the error as one line on standard error and exit with its status."""
    refusal = error if isinstance(error, SwarmbootError) else _from_os(error)
    print(f"swarmboot: {refusal}", file=sys.stderr)
    sys.exit(refusal.exit_status)


def _from_os(error: OSError) -> SwarmbootError:
    """Return the refusal for an operating system error that no part had a better word for."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpaceError(f"{where}no space left", hint="free some space and run it again: nothing was half-written")
    return UnreadableError(f"{where}{error.strerror or error}", hint="check the path and its permissions")


def main() -> None:
    """Run the command line; the exit status is the error's own (see `swarmboot.errors`)."""
    if BUNDLED.is_dir():
        sys.path.insert(0, str(BUNDLED))
    try:
        swarmboot(standalone_mode=False, prog_name="swarmboot")
    except click.exceptions.Abort:
        print("swarmboot: stopped", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        if isinstance(error, _HELP):
            error.show()
        else:
            print(f"swarmboot: {usage_refusal(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("swarmboot: stopped", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        exit_for(missing_module(error))
    except (SwarmbootError, OSError) as error:
        exit_for(error)
