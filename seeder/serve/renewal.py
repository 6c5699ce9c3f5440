"""The server's certificate while it is served: made anew in time, or read anew from its files, without a restart.

New handshakes are shown the new one as soon as it is loaded into the context that listens (SSL_CTX_use_certificate(3));
connections that are there live on with the old one, and proofs over them count on. What ends is said at start and once
a day (`seeder.site.lifetimes`). It will not make an authority: nodes would have to be given it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from seeder.http.authority import (
    CA_LIFE,
    LEAF_LIFE,
    ServerCertificate,
    covers,
    first_certificate,
    given_certificate,
    leaf_end,
)
from seeder.log import Level, Log
from seeder.serve.guard import Guard, served_certificate
from seeder.site.catalogue import Catalogue
from seeder.site.lifetimes import DAY_S, Lifetime, ending_lines, first_end, site_lifetimes
from swarmboot.crypto.validity import validity
from swarmboot.errors import SwarmbootError

LOOK_S = 5.0
_WORTH_IT = timedelta(days=1)


def is_due(*, ends: datetime, authority_ends: datetime, now: datetime) -> bool:
    """Return whether a certificate of ours is to be made anew: two thirds of its life are over, and it would gain."""
    return ends - now < LEAF_LIFE / 3 and leaf_end(now, authority_ends) - ends >= _WORTH_IT


@dataclass(slots=True)
class Renewal:
    """Keeps one served certificate fresh. `issue` makes another of our authority's, None for the operator's own.

    `context` is what listens, once it does.
    """

    certificate: ServerCertificate
    issue: Callable[[], ServerCertificate] | None
    guard: Guard
    log: Log
    context: ssl.SSLContext | None = None
    _mark: tuple[int, ...] = ()
    _told_s: float = 0.0
    _refused: str = ""

    def __post_init__(self) -> None:
        """Take note of the files as they are now."""
        self._mark = _mark(self.certificate.certificate, self.certificate.key)

    def listens(self, context: ssl.SSLContext) -> None:
        """Take note of the context that new handshakes are made with."""
        self.context = context

    def is_covered(self, host: str) -> bool:
        """Return whether the certificate is one for a host."""
        return covers(first_certificate(self.certificate.certificate), host)

    async def run(self, catalogue: Catalogue) -> None:
        """Look every few seconds, by the clock on the wall, which may be set meanwhile."""
        while True:
            await trio.sleep(LOOK_S)
            self.look(time.time())
            await self.tell_endings(catalogue, time.time())

    async def tell_endings(self, catalogue: Catalogue, now_s: float) -> None:
        """Say what ends, if that was not said within a day."""
        if abs(now_s - self._told_s) < DAY_S:
            return
        is_start, self._told_s = not self._told_s, now_s
        lives = await trio.to_thread.run_sync(site_lifetimes, catalogue.folder, catalogue.manifests)
        found = [*self.lifetimes(), *lives]
        lines = list(ending_lines(found, now_s=now_s))
        for line in lines:
            self.log.tell(line, level=Level.WARNING)
        if is_start and not lines and (first := first_end(found)):
            self.log.tell(first)

    def look(self, now_s: float) -> None:
        """Make the certificate anew if that is due, or take in files that have changed; say so, or why it failed."""
        try:
            is_new = self._is_issued(datetime.fromtimestamp(now_s, UTC)) if self.issue else self._is_given_anew()
        except (SwarmbootError, OSError, ssl.SSLError) as error:
            if str(error) != self._refused:
                self._refused = str(error)
                self.log.tell(f"the server's certificate cannot be renewed: {error}", level=Level.ERROR)
            return
        if is_new:
            self._refused = ""
            ends = validity(first_certificate(self.certificate.certificate)).ends
            self.log.tell(f"the server's certificate was renewed, it ends on {ends:%Y-%m-%d}; connections live on")

    def _is_issued(self, now: datetime) -> bool:
        assert self.issue is not None
        assert self.certificate.authority is not None
        ends = validity(first_certificate(self.certificate.certificate)).ends
        authority_ends = validity(first_certificate(self.certificate.authority)).ends
        if not is_due(ends=ends, authority_ends=authority_ends, now=now):
            return False
        self._load(self.issue())
        return True

    def _is_given_anew(self) -> bool:
        paths = self.certificate.certificate, self.certificate.key
        mark = _mark(*paths)
        if mark == self._mark:
            return False
        self._load(given_certificate(*paths))
        self._mark = mark
        return True

    def _load(self, certificate: ServerCertificate) -> None:
        self.guard.also_show(served_certificate(certificate.certificate))
        if self.context is not None:
            self.context.load_cert_chain(certificate.certificate, certificate.key)
        self.certificate = certificate

    def lifetimes(self) -> list[Lifetime]:
        """Return the lives that the server's TLS depends on: the authority's, or that of the operator's certificate."""
        own, authority = self._served_lifetime(), self.certificate.authority
        if authority is None:
            return [own]
        ends = validity(first_certificate(authority)).ends
        hint = "make a new one and rebuild the initramfs"
        return [Lifetime(f"the authority {authority}", ends.timestamp(), CA_LIFE.total_seconds(), hint, "authority")]

    def all_lifetimes(self) -> list[Lifetime]:
        """Return those, and that of a certificate of ours, which is renewed before anybody needs to act."""
        return [*self.lifetimes(), *([self._served_lifetime()] if self.issue else [])]

    def _served_lifetime(self) -> Lifetime:
        path = self.certificate.certificate
        begins, ends = validity(first_certificate(path))
        life_s = LEAF_LIFE.total_seconds() if self.issue else (ends - begins).total_seconds()
        hint = "it is renewed by itself" if self.issue else "renew it; its files are read again"
        what = f"the certificate {path}{' (renewed by itself)' if self.issue else ''}"
        return Lifetime(what, ends.timestamp(), life_s, hint, "certificate")


def _mark(*paths: Path) -> tuple[int, ...]:
    """Return what changes when one of the files does; nothing of one that is not there."""
    found: list[int] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found += [status.st_ino, status.st_mtime_ns, status.st_size]
    return tuple(found)
