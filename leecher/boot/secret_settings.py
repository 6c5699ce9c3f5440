"""A release's secret settings: asked for in private, opened with the fleet token, kept in memory and in one file.

The signed manifest pins the digest of what is sealed, so whoever serves it cannot choose it. Only the seeder gives it,
and only over HTTPS: neighbours and mirrors have none, and a node that finds no seeder waits for one. What is opened is
never logged, reported or served; the file has mode 0600.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from random import Random

import trio

from leecher.boot.hand_off import environment_text, write_secret
from leecher.origin.client import Origin
from leecher.origin.small_request import SmallRequest
from leecher.origin.threads import in_thread
from leecher.swarm.counters import BootCounters
from swarmboot.backoff import Backoff
from swarmboot.crypto.fleet_token import SEALED_MAX_BYTES, SECRETS_PATH, unseal
from swarmboot.errors import ArtifactError, OriginError, ProofRefusedError, TokenError, TransferError
from swarmboot.ids import Digest
from swarmboot.release.manifest import Manifest
from swarmboot.release.profile import Selection
from swarmboot.settings import NodeSettings
from swarmboot.wire.announce import WIRE_TYPE
from swarmboot.wire.private import encode_secrets_wanted

_ANSWER_S = 5.0
_PAUSE_S, _PAUSE_MAX_S = 0.25, 8.0


class _GoneError(OriginError):
    """Occurs when the seeder says that there are none: only another release can help, so the boot begins anew."""


class SecretSettings:
    """The secret settings of one node's release. `written` is set when there are none, or they are in their file.

    Raises TokenError if the release has some for this node and it can have none of them.
    """

    def __init__(
        self,
        manifest: Manifest,
        selection: Selection,
        settings: NodeSettings,
        counters: BootCounters,
        *,
        random: Random,
        tell: Callable[[str], None],
    ) -> None:
        self.written = trio.Event()
        self._fleet, self._profile = manifest.fleet, selection.profile
        self._digest = selection.secrets if settings.secrets else None
        self._path = settings.secrets
        self._server = settings.server
        self._counters = counters
        self._random = random
        self._tell = tell
        self.last_failure: TransferError | None = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._digest is None:
            self.written.set()
            if selection.secrets is not None and counters.proving.one is None:
                tell("the release has secret settings, which are left out: --secrets says where to write them")
        else:
            _check(settings, counters)

    async def fetch(self, origin: Origin) -> None:
        """Ask until the seeder gives them, and write them.

        Raises TokenError if it does not accept the token or they cannot be opened, ArtifactError if it gives others,
        OriginError if it has none.
        """
        if self._digest is None or self._path is None:
            return
        backoff, told = Backoff(self._random, first_s=_PAUSE_S, max_s=_PAUSE_MAX_S), ""
        while True:
            try:
                sealed = await self._ask(origin, self._digest)
                break
            except ProofRefusedError as error:
                raise TokenError("this server does not accept the node's fleet token", hint=error.hint) from error
            except _GoneError:
                raise
            except TransferError as error:
                self.last_failure = error
                if str(error) != told:
                    told = str(error)
                    self._tell(f"{told}; the secret settings are asked for again")
            await trio.sleep(backoff.next_s())
        write_secret(self._path, environment_text("", self._open(sealed)))
        self.written.set()

    async def _ask(self, origin: Origin, digest: Digest) -> bytes:
        request = SmallRequest(
            origin.connections, f"{self._server}{SECRETS_PATH}", max_bytes=SEALED_MAX_BYTES,
            body=encode_secrets_wanted(digest), media_type=WIRE_TYPE, silent_s=_ANSWER_S,
            prover=self._counters.proving.fleet(self._counters.node),
        )  # fmt: skip
        try:
            await in_thread(request)
        except OriginError as error:
            if request.status == HTTPStatus.NOT_FOUND:
                raise _GoneError(
                    "the server has no secret settings of this release", found=error.found,
                    hint="it was pruned meanwhile, or `swarmboot serve` runs without --fleet-token",
                ) from error  # fmt: skip
            raise
        return request.answer

    def _open(self, sealed: bytes) -> dict[str, str]:
        found = hashlib.sha256(sealed).digest()
        if found != self._digest:
            raise ArtifactError(
                "the server gives other secret settings than were signed", found=found.hex()[:16],
                hint="run `swarmboot verify` on the site",
            )  # fmt: skip
        return unseal(self._counters.proving.tokens, sealed, fleet=self._fleet, profile=self._profile)


def _check(settings: NodeSettings, counters: BootCounters) -> None:
    """Raise TokenError if this node can have no secret settings, whoever answers."""
    if not counters.proving.tokens:
        raise TokenError(
            "the release has secret settings, and this node has no fleet token",
            expected="the token that `swarmboot serve --fleet-token` has",
            found="none",
            hint="build the initramfs with --fleet-token FILE",
        )
    if not settings.server.startswith("https:"):
        raise TokenError(
            "the release has secret settings, which only a seeder gives, over HTTPS",
            expected="swarmboot.server=https://HOST:PORT",
            found=settings.server or "none",
        )
