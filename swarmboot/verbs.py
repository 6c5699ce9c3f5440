"""A command's verbs, of which one that is mistyped is answered with the one that was probably meant."""

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
            ctx.fail(f"No such command {word!r}. {did_you_mean(word, self.list_commands(ctx)).capitalize()}".strip())
        return super().resolve_command(ctx, args)
