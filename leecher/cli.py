"""The verb `swarmboot fetch`: the leecher for people. The only module here that may import click."""

from __future__ import annotations

from typing import Any

import click

from swarmboot.settings import TABLE, Setting

_SWITCHES = ("linger", "discovery", "lazy", "trace")


def _option(setting: Setting) -> Any:
    text = f"{setting.help[0].upper()}{setting.help[1:]}."
    if setting.name in _SWITCHES:
        return click.option(
            *setting.flags, setting.name, is_flag=False, flag_value="on", metavar="[on|off]",
            help=f"{text} [default: {setting.default}]",
        )  # fmt: skip
    return click.option(
        setting.flag,
        setting.name,
        multiple=setting.is_repeatable,
        metavar=setting.name.upper(),
        help=f"{text} {f'[default: {setting.default}]' if setting.default else ''}",
    )


@click.command()
@click.option("--cmdline", default="", help="A kernel command line to take settings from.")
def fetch(cmdline: str, **values: Any) -> None:
    """Fetch, verify and keep a release's images, as a node does.

    \b
    Example:
      swarmboot fetch --server https://10.0.0.1:8470 --ca ca.pem --trust swarmboot.pub --into /var/tmp/images
    """
    from leecher.machine import lean_start  # noqa: F401 - must come first

    # isort: split
    from leecher.boot.start import boot, options_for, process_started_s, settings_from

    flags = {}
    for setting in TABLE:
        value = values[setting.name]
        if setting.name in _SWITCHES and values[f"no_{setting.name}"]:
            flags[setting.name] = "off"
        elif setting.is_repeatable and value:
            flags[setting.name] = ",".join(value)
        elif isinstance(value, str):
            flags[setting.name] = value
    boot(options_for(settings_from(cmdline, flags), process_started_s()))


for _setting in TABLE:
    if _setting.name in _SWITCHES:
        _offs = (f"--no-{flag.removeprefix('--')}" for flag in _setting.flags)
        fetch = click.option(*_offs, f"no_{_setting.name}", is_flag=True, help=f"As {_setting.flag} off.")(fetch)
    fetch = _option(_setting)(fetch)
