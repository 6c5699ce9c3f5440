"""Asks a DHCP server what it would tell a machine, from a network namespace."""

from __future__ import annotations

import json
import sys
from typing import Protocol

from tests.system.vm.programs import run

OWN = "52:54:00:00:98:77"
PI = "dc:a6:32:00:98:77"
PXE_CLASS = "PXEClient:Arch:{:05}:UNDI:003016"
HTTP_CLASS = "HTTPClient:Arch:{:05}:UNDI:003016"
FILES = ("undionly.kpxe", "snponly.efi", "snponly-arm64.efi")
Offer = dict[str, str] | None


class Ask(Protocol):
    """Asks one server."""

    def __call__(
        self, mac: str = OWN, *, arch: int | None, vendor: str = PXE_CLASS, ipxe: bool = False
    ) -> dict[str, str]:
        """Return what is offered."""


def ask(where: tuple[str, ...], mac: str, *, arch: int | None, vendor: str, ipxe: bool = False) -> Offer:
    """Return what a machine that sends this from a network is offered there."""
    words = ("-", vendor or "-") if arch is None else (str(arch), vendor.format(arch) or "-")
    command = (*where, sys.executable, "-m", "tests.system.bare.dhcp_client", "eth0", mac, *words)
    found: Offer = json.loads(run(*command, *(("ipxe",) if ipxe else ())))
    return found
