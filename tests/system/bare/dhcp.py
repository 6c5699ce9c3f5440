"""Asks a DHCP server what it would tell a machine, from a network namespace."""

from __future__ import annotations

import json
import sys
from typing import Protocol

from tests.system.vm.programs import run

OWN = "52:54:00:00:98:77"
PI = "dc:a6:32:00:98:77"
PI_GUID = "525069341131c0003200987712345678"
"""A Pi 4's option 97: `RPi4`, revision, the end of its MAC address, its serial number."""

U_BOOT_CLASS = "U-Boot.armv8"
PXE_CLASS = "PXEClient:Arch:{:05}:UNDI:003016"
HTTP_CLASS = "HTTPClient:Arch:{:05}:UNDI:003016"
FILES = ("undionly.kpxe", "snponly.efi", "snponly-arm64.efi")
Offer = dict[str, str] | None


class Ask(Protocol):
    """Asks one server."""

    def __call__(
        self, mac: str = OWN, *, arch: int | None, vendor: str = PXE_CLASS, ipxe: bool = False, guid: str = ""
    ) -> dict[str, str]:
        """Return what is offered."""


def ask(
    where: tuple[str, ...], mac: str, *, arch: int | None, vendor: str, ipxe: bool = False, guid: str = ""
) -> Offer:
    """Return what a machine that sends this from a network is offered there."""
    words = ("-", vendor or "-") if arch is None else (str(arch), vendor.format(arch) or "-")
    command = (*where, sys.executable, "-m", "tests.system.bare.dhcp_client", "eth0", mac, *words)
    found: Offer = json.loads(run(*command, *(("ipxe",) if ipxe else filter(None, (guid,)))))
    return found
