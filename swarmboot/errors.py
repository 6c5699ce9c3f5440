"""Every way swarmboot can refuse, as one tree split by whose fault it is.

A class carries its exit status; an instance carries what was refused, what was expected, what was found and what to
do, and prints as one line. Trust and integrity errors stop a boot and are never papered over by a fallback; transfer
errors are retried; settings errors name the argument. This module will not print, log or exit.

| statuses | family | who must act |
|---|---|---|
| 10-19 | trust | whoever holds the keys |
| 20-29 | transfer | nobody: it is retried |
| 30-39 | integrity | whoever serves the bytes |
| 40-49 | settings | whoever wrote the argument |
| 50-59 | release | whoever made the release |
| 60-69 | resource | whoever runs this machine |
"""

from __future__ import annotations

from typing import ClassVar

from swarmboot.printable import printable

_LONGEST = 900


class SwarmbootError(Exception):
    """A refusal that fits on one line: what, expected, found, what to do. Others may have written parts of it."""

    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, *, expected: str = "", found: str = "", hint: str = "") -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        facts = ", ".join(
            f"{label} {_cut(value)}" for label, value in (("expected", self.expected), ("found", self.found)) if value
        )
        line = f"{_cut(self.what)}: {facts}" if facts else _cut(self.what)
        line = f"{line}; {self.hint}" if self.hint else line
        return printable(" ".join(line.split()))


def refusal_in(error: BaseException) -> SwarmbootError | None:
    """Return the first refusal among the errors of a group, of groups in it too; None if there is none."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := refusal_in(inner)) is not None), None)
    return error if isinstance(error, SwarmbootError) else None


def _cut(text: str) -> str:
    """Return a text fit for a line, whatever somebody has put into it."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


class TrustError(SwarmbootError):
    """The keys do not vouch for these bytes. Never retried, never worked around."""

    exit_status = 10


class SignatureError(TrustError):
    """Occurs when a signature by a trusted key does not match the signed bytes."""

    exit_status = 11


class ThresholdError(TrustError):
    """Occurs when fewer distinct trusted keys signed than the threshold asks for."""

    exit_status = 12


class KeyFileError(TrustError):
    """Occurs when a key file is missing, unreadable, of the wrong kind, or known to the public."""

    exit_status = 13


class RollbackError(TrustError):
    """Occurs when a manifest's sequence number is below the floor this machine has seen."""

    exit_status = 14


class ExpiredError(TrustError):
    """Occurs when a manifest has expired and the clock is known to be right."""

    exit_status = 15


class ManifestError(TrustError):
    """Occurs when signed bytes are too large, malformed, or need a newer swarmboot."""

    exit_status = 16


class TokenError(TrustError):
    """Occurs when this node's fleet token is missing or not the one that a release or a server asks for."""

    exit_status = 18


class FleetError(TrustError):
    """Occurs when a release that the keys have signed is not the fleet's that this node belongs to."""

    exit_status = 17


class TransferError(SwarmbootError):
    """Bytes did not arrive. Retried with backoff for as long as the settings say."""

    exit_status = 20


class UnreachableError(TransferError):
    """Occurs when no connection could be made: refused, unroutable, unresolved, TLS not trusted."""

    exit_status = 21


class OriginError(TransferError):
    """Occurs when an origin answers with a status other than the one asked for."""

    is_gone: bool = False
    """Whether the origin says that it has no such thing: 404, 410."""

    exit_status = 22


class ForbiddenError(OriginError):
    """Occurs when a seeder refuses who asks: the node's id belongs to another."""

    exit_status = 25


class ProofRefusedError(OriginError):
    """Occurs when a seeder asks for a fleet token and was shown none, or another."""

    exit_status = 26


class ProtocolError(TransferError):
    """Occurs when a message is malformed, too large, or contradicts its own length."""

    exit_status = 23


class StalledError(TransferError):
    """Occurs when no byte arrives within the time allowed."""

    exit_status = 24


class IntegrityError(SwarmbootError):
    """Bytes arrived and are not the ones that were signed."""

    exit_status = 30


class BlobError(IntegrityError):
    """Occurs when a site lacks a blob it promises, or holds other bytes under its name."""

    exit_status = 31


class ArtifactError(IntegrityError):
    """Occurs when a downloaded artifact differs from the manifest's digest or size."""

    exit_status = 32


class SettingsError(SwarmbootError):
    """An argument is unknown or malformed."""

    exit_status = 40


class UnknownSettingError(SettingsError):
    """Occurs when a `swarmboot.*` argument is not in the settings table."""

    exit_status = 41


class MalformedSettingError(SettingsError):
    """Occurs when a setting's value does not parse, or a required one is missing."""

    exit_status = 42


class ScenarioError(SettingsError):
    """Occurs when a simulation scenario names an unknown key or an impossible value."""

    exit_status = 43


class UnknownNodeError(SettingsError):
    """Occurs when somebody asks for a node that the seeder has never heard of."""

    exit_status = 44


class ReleaseError(SwarmbootError):
    """A release directory, or the site it goes to, cannot be published."""

    exit_status = 50


class NoRootImageError(ReleaseError):
    """Occurs when a release holds no root image, or more than one."""

    exit_status = 51


class UnreadableError(ReleaseError):
    """Occurs when a release's file is empty, unreadable or not a regular file."""

    exit_status = 52


class EscapeError(ReleaseError):
    """Occurs when a symbolic link leads out of the release directory."""

    exit_status = 53


class ChangedError(ReleaseError):
    """Occurs when a file changes while it is being hashed."""

    exit_status = 54


class SiteBusyError(ReleaseError):
    """Occurs when another command is writing to the same site or release."""

    exit_status = 55


class SiteError(ReleaseError):
    """Occurs when a directory is not a swarmboot site, or lacks the channel asked for."""

    exit_status = 56


class CannotBootError(ReleaseError):
    """Occurs when a release was looked at before it was published, and no machine could boot it."""

    exit_status = 57


class RecipeError(ReleaseError):
    """Occurs when a plugin's recipe cannot be read, or has failed."""

    exit_status = 58


class ResourceError(SwarmbootError):
    """This machine lacks what the work needs."""

    exit_status = 60


class SpaceError(ResourceError):
    """Occurs when a disk or RAM is too small for the images."""

    exit_status = 61


class PortInUseError(ResourceError):
    """Occurs when the address to listen on is taken or not this machine's."""

    exit_status = 62


class PrivilegeError(ResourceError):
    """Occurs when the work needs root and is not run as root."""

    exit_status = 63


class ToolMissingError(ResourceError):
    """Occurs when a program the work needs is not installed."""

    exit_status = 64


_OURS = ("swarmboot", "seeder", "leecher", "netsim")


def missing_module(error: ModuleNotFoundError) -> ToolMissingError:
    """Return the refusal for a package that swarmboot needs and this Python lacks; one of our own is raised again."""
    name = (error.name or "").partition(".")[0]
    if not name or name in _OURS:
        raise error
    hint = f"apt-get install python3-{name.lower().replace('_', '-')}, or install swarmboot again with pip"
    if name == "libtorrent":  # PyPI has no wheel of it for every Python
        hint = "apt-get install python3-libtorrent and make the venv with --system-site-packages"
    return ToolMissingError(f"{name} is missing", hint=hint)


class LabError(ResourceError):
    """Occurs when a laboratory run fails or passes its time bound."""

    exit_status = 65


class LostRootError(ResourceError):
    """Occurs when a root in use will never be whole."""

    exit_status = 66
