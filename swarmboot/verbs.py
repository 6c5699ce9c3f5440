"""A command's verbs: listed with all of their first line, and mistyped answered with what was probably meant."""

from __future__ import annotations

import click

from swarmboot.text.spelling import did_you_mean


class Verbs(click.Group):
    """A click group that names the verb which was probably meant; options are told like that by click itself."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb and its arguments; raise click.UsageError for one that is not there."""
        word = args[0]
        is_option = word.startswith("-")
        if not is_option and not ctx.resilient_parsing and self.get_command(ctx, word) is None:
            meant = did_you_mean(word, self.list_commands(ctx))
            ctx.fail(f"{ctx.command_path} has no verb {word}{meant and f': {meant}'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs, what each does on as many lines as that takes; click cuts it to one."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, first_line(verb.help)) for name, verb in found if verb is not None and not verb.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def first_line(text: str | None) -> str:
    """Return what a help text or docstring begins with, without its full stop."""
    return (text or "").strip().partition("\n")[0].removesuffix(".")
