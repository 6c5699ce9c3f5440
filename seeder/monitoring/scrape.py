"""The answer to a scrape, in the format that the scraper asks for.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder

from seeder.monitoring.current import Current
from seeder.monitoring.meters import Meters


class Scrapes:
    """Everything that a scrape returns; one for each `meters`, with which it registers itself."""

    def __init__(self, meters: Meters, current: Current) -> None:
        self.meters, self.current = meters, current
        self._collectors = meters.collectors
        self._collectors.register(current)
        ProcessCollector(registry=self._collectors)

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its media type for a request's Accept header."""
        encode, media_type = choose_encoder(accept)
        body: bytes = encode(self._collectors)
        return body, media_type
