"""The flows of every node as arrays, one entry each: whom it receives from, what was requested, what is under way."""

from __future__ import annotations

import numpy as np

from netsim.scenario.arrays import Floats, Ints
from netsim.swap.piece_words import Words


class Flows:
    """`flows` for each of `ends`, in columns: entry `column * ends + node` is the node's flow of that column.

    `sender` is -1 while a flow is idle, `senders` the same array by column and node; `last` is whom it received from
    last. `queue` are the pieces requested of `word`, `left` the bytes that are missing of the next unit of them.
    """

    def __init__(self, ends: int, flows: int) -> None:
        self.node_of: Ints = np.tile(np.arange(ends), flows)
        self.column_of: Ints = np.repeat(np.arange(flows), ends)
        self.senders: Ints = np.full((flows, ends), -1)
        self.sender: Ints = self.senders.reshape(-1)
        self.word: Ints = np.zeros(ends * flows, np.int64)
        self.queue: Words = np.zeros(ends * flows, np.uint64)
        self.left: Floats = np.zeros(ends * flows)
        self.last: Ints = np.zeros(ends * flows, np.int64)
        self._first: Ints = np.arange(flows)[:, None] * ends

    def of(self, nodes: Ints) -> Ints:
        """Return the indices of all flows of these nodes."""
        return (self._first + nodes).reshape(-1)
