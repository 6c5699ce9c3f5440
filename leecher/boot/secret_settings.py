"""A release's secret settings and this node's secret files: asked for in private, opened with the fleet token, kept in
memory and in one file each.

The signed manifest pins the digest of what is sealed, so whoever serves it cannot choose it. Only the seeder gives it,
and only over HTTPS: neighbours and mirrors have none, and a node that finds no seeder waits for one. What is opened is
never logged, reported or served; the files have mode 0600.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from random import Random

import trio

from leecher.boot.hand_off import OWN_SECRETS, environment_text, write_private, write_secret
from leecher.machine.identity import read_identity
from leecher.machine.this_boot import boot_card
from leecher.origin.client import Origin
from leecher.origin.small_request import SmallRequest
from leecher.origin.threads import in_thread
from leecher.swarm.counters import BootCounters
from swarmboot.backoff import Backoff
from swarmboot.codec import DecodeError
from swarmboot.crypto.fleet_token import SEALED_MAX_BYTES, SECRETS_PATH, unseal, unseal_files
from swarmboot.errors import ArtifactError, OriginError, ProofRefusedError, TokenError, TransferError
from swarmboot.ids import Digest
from swarmboot.release.manifest import Manifest
from swarmboot.release.node_overlay import NodeFile, decode_files, encode_files
from swarmboot.release.node_root import NodeFacts, secret_layers
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

    With `has_files` the node's secret files are left beside that, as `hand_off` calls them.

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
        has_files: bool = False,
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
            self._path.with_name(OWN_SECRETS).unlink(missing_ok=True)
        self._layers = self._layers_of(manifest, settings) if has_files and settings.secrets else {}
        if self._digest is None and not self._layers:
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
        if self._path is None or self.written.is_set():
            return
        files: dict[str, NodeFile] = {}
        for layer, digest in self._layers.items():
            sealed = self._checked(await self._asked_for(origin, digest), digest)
            packed = unseal_files(self._counters.proving.tokens, sealed, fleet=self._fleet, layer=layer)
            files |= {file.path: file for file in _files(packed)}
        if files:
            merged = encode_files(file for _, file in sorted(files.items()))
            write_private(self._path.with_name(OWN_SECRETS), merged)
        if self._digest is not None:
            sealed = self._checked(await self._asked_for(origin, self._digest), self._digest)
            env = unseal(self._counters.proving.tokens, sealed, fleet=self._fleet, profile=self._profile)
            write_secret(self._path, environment_text("", env))
        self.written.set()

    def _layers_of(self, manifest: Manifest, settings: NodeSettings) -> dict[str, Digest]:
        """Return the layers of secret files that this node gets, the later one winning, and their digests."""
        if not manifest.node_secrets:
            return {}
        macs = in_order(
            read_identity().macs, manifest.node_secrets, lambda: boot_card(settings.server, settings.bind)[0]
        )
        facts = NodeFacts(macs, profile=self._profile)
        return {layer: manifest.node_secrets[layer] for layer in secret_layers(manifest.node_secrets, facts)}

    async def _asked_for(self, origin: Origin, digest: Digest) -> bytes:
        backoff, told = Backoff(self._random, first_s=_PAUSE_S, max_s=_PAUSE_MAX_S), ""
        while True:
            try:
                return await self._ask(origin, digest)
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

    def _checked(self, sealed: bytes, digest: Digest) -> bytes:
        found = hashlib.sha256(sealed).digest()
        if found != digest:
            raise ArtifactError(
                "the server gives other secret settings than were signed", found=found.hex()[:16],
                hint="run `swarmboot verify` on the site",
            )  # fmt: skip
        return sealed


def in_order(macs: Iterable[str], layers: Collection[str], boot_mac: Callable[[], str]) -> tuple[str, ...]:
    """Return a machine's MAC addresses, the one that it boots by last; that is asked only if several have layers."""
    found = sorted(macs)
    if sum(mac.replace(":", "-") in layers for mac in found) > 1:
        own = boot_mac()
        found.sort(key=lambda mac: (mac == own, mac))
    return tuple(found)


def _files(packed: bytes) -> tuple[NodeFile, ...]:
    """Return the files in what was sealed; raise TokenError if they are none that this version lays down."""
    try:
        return decode_files(packed)
    except DecodeError as error:
        hint = "publish with the same version of swarmboot, or rebuild this node's initramfs"
        raise TokenError(f"this node's secret files cannot be used: {error}", hint=hint) from error


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
