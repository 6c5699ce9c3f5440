"""A nursery whose one error comes out as itself, so that callers need not take groups apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import trio

from swarmboot.errors import SwarmbootError


@asynccontextmanager
async def open_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a trio nursery; if one of our own errors ended it, raise that error instead of the group around it."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        refusal = next((error for error in _leaves(group) if isinstance(error, SwarmbootError)), None)
        if refusal is None:
            raise
        raise refusal from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
