"""Who is told what machines without an operating system do; by their MAC address and where they ask from."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Is told as it happens; keeps nobody waiting and raises nothing."""

    def offered(self, mac: str) -> None:
        """Occurs when a machine is told by DHCP what to boot."""

    def turned_away(self, mac: str) -> None:
        """Occurs when DHCP has no address left for a machine."""

    def given(self, mac: str) -> None:
        """Occurs when a machine is offered or given an address by DHCP."""

    def asked(self, mac: str, host: str, rack: str) -> None:
        """Occurs when a machine asks what to boot."""

    def shown_menu(self, mac: str, host: str) -> None:
        """Occurs when a machine is shown a menu, in which it may choose not to load anything."""

    def waits(self, mac: str, host: str, ahead: int) -> None:
        """Occurs when a machine is told that so many are served before it."""

    def granted(self, mac: str, host: str, channel: str) -> None:
        """Occurs when a machine may load what a channel has."""

    def loaded(self, mac: str, host: str) -> None:
        """Occurs when a machine has loaded all that it loads from this server."""

    def script_refused(self, mac: str, host: str, text: str) -> None:
        """Occurs when there is nothing for a machine to boot, and why."""


class Nobody:
    """Is told, and does nothing."""

    def offered(self, mac: str) -> None:
        """Do nothing."""

    def turned_away(self, mac: str) -> None:
        """Do nothing."""

    def given(self, mac: str) -> None:
        """Do nothing."""

    def asked(self, mac: str, host: str, rack: str) -> None:
        """Do nothing."""

    def shown_menu(self, mac: str, host: str) -> None:
        """Do nothing."""

    def waits(self, mac: str, host: str, ahead: int) -> None:
        """Do nothing."""

    def granted(self, mac: str, host: str, channel: str) -> None:
        """Do nothing."""

    def loaded(self, mac: str, host: str) -> None:
        """Do nothing."""

    def script_refused(self, mac: str, host: str, text: str) -> None:
        """Do nothing."""
