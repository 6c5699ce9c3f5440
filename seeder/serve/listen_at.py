"""Where `swarmboot serve` listens: the option's text, and its default."""

from __future__ import annotations

from swarmboot.errors import MalformedSettingError
from swarmboot.text.addresses import split_host_port

DEFAULT_PORT = 8470


def parse_listen(text: str, option: str = "--listen") -> tuple[str, int]:
    """Return host and port of `ADDR:PORT`, `:PORT` or `[V6]:PORT`; raise MalformedSettingError otherwise."""
    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise MalformedSettingError(
            f"{option} is malformed", expected="ADDR:PORT, as in 0.0.0.0:8470", found=repr(text)
        ) from error
    return host or "0.0.0.0", port  # noqa: S104 - the operator asked for every address
