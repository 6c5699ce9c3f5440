"""A nursery whose one error comes out as itself, so that callers need not take groups apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from swarmboot.errors import refusal_in


@asynccontextmanager
async def open_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a trio nursery; if one of our own errors ended it, raise that error instead of the group around it."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        refusal = refusal_in(group)
        if refusal is None:
            raise
        raise refusal from None
