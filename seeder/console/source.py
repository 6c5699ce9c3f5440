"""Where the commands read: a running seeder over HTTPS, or its state folder when it is down. It changes neither."""

from __future__ import annotations

import http.client
import json
import sqlite3
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from seeder.node_log.store import NODE_LOG, Store, lines_of
from seeder.record.place import Serving, read_address, state_folder
from seeder.record.policy import shapes
from seeder.record.policy.causes import Site
from seeder.record.policy.ledger import CURRENT_MAX, Ledger
from seeder.record.policy.view import View, build_view, row_of
from seeder.record.store import FILE_NAME, find_past, read_current, read_history
from swarmboot.errors import ForbiddenError, KeyFileError, ProtocolError, UnknownNodeError, UnreachableError
from swarmboot.text.addresses import read_server
from swarmboot.text.spelling import nearest

Values = dict[str, Any]
EARLIER_MAX = 20
_PATIENCE_S = 10.0
_ANSWER_MAX_BYTES = 64 << 20


class Source(Protocol):
    """Where to read."""

    @property
    def where(self) -> str:
        """Return in a few words where that is."""

    def fleet(self) -> Values:
        """Return what `/api/fleet` answers."""

    def nodes(self, *, state: str, rack: str | None) -> Values:
        """Return what `/api/nodes` answers."""

    def story(self, key: str) -> Values:
        """Return what `/api/nodes/KEY` answers; raise UnknownNodeError if nothing is known of it."""

    def history(self, *, limit: int) -> Values:
        """Return what `/api/history` answers."""

    def logs(self, key: str) -> Values:
        """Return what `/api/logs/KEY` answers; raise UnknownNodeError if nothing is known of it."""


def find_source(*, server: str, ca: Path | None, token_file: Path | None, state: Path | None) -> Source:
    """Return where to read: the server that is named, else that of the state folder, else the folder itself.

    Raises UnreachableError if there is neither.
    """
    if server:
        return OverHttps(Serving(read_server(server), str(ca or "")), _token(token_file))
    folder = state or state_folder()
    serving = read_address(folder)
    if serving is not None:
        source = OverHttps(Serving(serving.server, str(ca or serving.ca)), _token(token_file))
        try:
            source.fleet()
        except UnreachableError:
            pass
        else:
            return source
    try:
        is_there = (folder / FILE_NAME).exists()
    except OSError as error:
        raise UnreachableError(
            f"the state folder {folder} cannot be read", found=error.strerror or "", hint="use sudo, or name --server"
        ) from error
    if not is_there:
        hint = "name the server: --server https://HOST:8470 --ca ca.pem, or its folder: --state DIR"
        raise UnreachableError(f"no seeder runs here, and there is no history in {folder}", hint=hint)
    return FromFolder(folder)


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text("ascii").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(
            f"the token {path} cannot be read", hint="give the file that serve has as --ui-token"
        ) from error


@dataclass(slots=True)
class OverHttps:
    """A running seeder."""

    serving: Serving
    token: str = ""

    @property
    def where(self) -> str:
        """Return the server's address."""
        return self.serving.server

    def fleet(self) -> Values:
        """Return what `/api/fleet` answers."""
        return self._get("/api/fleet")

    def nodes(self, *, state: str, rack: str | None) -> Values:
        """Return what `/api/nodes` answers."""
        query = {"state": state} if state else {}
        if rack is not None:
            query["rack"] = rack
        return self._get(f"/api/nodes?{urllib.parse.urlencode(query)}")

    def story(self, key: str) -> Values:
        """Return what `/api/nodes/KEY` answers."""
        return self._get(f"/api/nodes/{urllib.parse.quote(key, safe='')}", key=key)

    def history(self, *, limit: int) -> Values:
        """Return what `/api/history` answers."""
        return self._get(f"/api/history?limit={limit}")

    def logs(self, key: str) -> Values:
        """Return what `/api/logs/KEY` answers."""
        return self._get(f"/api/logs/{urllib.parse.quote(key, safe='')}", key=key)

    def _get(self, path: str, *, key: str = "") -> Values:
        request = urllib.request.Request(f"{self.serving.server}{path}")  # noqa: S310 - read_server lets http(s) pass
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        context = self._context()
        try:
            with urllib.request.urlopen(request, context=context, timeout=_PATIENCE_S) as answer:  # noqa: S310
                values = json.loads(answer.read(_ANSWER_MAX_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error, key) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise ProtocolError(f"{self.serving.server} answers no JSON", hint="is it a seeder?") from error
        if not isinstance(values, dict):
            raise ProtocolError(f"{self.serving.server} answers another JSON", hint="is it a seeder?")
        return values

    def _context(self) -> ssl.SSLContext:
        ca, hint = self.serving.ca, "give the server's ca.pem"
        try:
            return ssl.create_default_context(cafile=ca or None)
        except ssl.SSLError as error:
            raise KeyFileError(f"{ca} holds no certificate", hint=hint) from error
        except OSError as error:
            raise KeyFileError(f"{ca} cannot be read: {error.strerror}", hint=hint) from error

    def _refusal(self, error: urllib.error.HTTPError, key: str) -> Exception:
        if error.code in (401, 403):
            return ForbiddenError(
                f"{self.serving.server} does not say that to this machine",
                hint="give --token-file with what serve has as --ui-token, or start serve with --status-from",
            )
        if error.code == 404 and key:
            return unknown(key)
        return ProtocolError(f"{self.serving.server} answers {error.code}", hint="is it a seeder of this version?")

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            hint = "give --ca with the server's ca.pem, and the server by a name that its certificate has"
            return UnreachableError(
                f"{self.serving.server} is not trusted", found=reason.verify_message or str(reason), hint=hint
            )
        return UnreachableError(f"{self.serving.server} does not answer", found=str(reason), hint="is serve running?")


def answer(source: Source, ask: Callable[[str], Values], key: str) -> Values:
    """Return what `ask` says of a node; raise UnknownNodeError, with who was probably meant, for one nobody knows."""
    try:
        return ask(key)
    except UnknownNodeError:
        known = source.nodes(state="", rack=None)["nodes"]
        names = sorted({node["name"] for node in known if node["name"]})
        raise unknown(key, meant=nearest(key, names)) from None


def unknown(key: str, *, meant: str = "") -> UnknownNodeError:
    """Return the refusal of a node that nobody has heard of."""
    return UnknownNodeError(
        f"nothing is known of {key!r}",
        expected="a MAC address, an address, a host name, or the first six digits of an id",
        hint=f"did you mean {meant}?" if meant else "`swarmboot nodes` lists all",
    )


class FromFolder:
    """A state folder whose seeder is down: what was current when it last wrote, as of that moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._boots = read_current(folder, most=CURRENT_MAX)
        except (sqlite3.Error, OSError) as error:
            raise UnreachableError(
                f"the history in {folder} cannot be read", found=str(error), hint="start serve: it begins another"
            ) from error
        self._now_s = max((boot.heard_s for boot in self._boots), default=time.time())
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._now_s))
        self._where = f"the history in {folder}, last written {when}: no seeder runs here"

    @property
    def where(self) -> str:
        """Return which folder, and as of when."""
        return self._where

    def _view(self) -> View:
        return build_view(self._boots, Ledger(self._boots).pace.limits_s(), now_s=self._now_s)

    def fleet(self) -> Values:
        """Return what `/api/fleet` would have answered."""
        return shapes.fleet(self._view())

    def nodes(self, *, state: str, rack: str | None) -> Values:
        """Return what `/api/nodes` would have answered."""
        return shapes.nodes(self._view(), state=state, rack=rack)

    def story(self, key: str) -> Values:
        """Return what `/api/nodes/KEY` would have answered."""
        ledger = Ledger(self._boots)
        boot = ledger.find(key) or find_past(self._folder, key.lower())
        if boot is None:
            raise unknown(key)
        earlier = read_history(self._folder, machine=boot.machine, most=EARLIER_MAX)
        row = row_of(boot, ledger.pace.limits_s(), Site({}), now_s=self._now_s)
        others, namesakes = [each for each in earlier if each.id != boot.id], ledger.namesakes(boot)
        return shapes.story(row, now_s=self._now_s, earlier=others, namesakes=namesakes)

    def history(self, *, limit: int) -> Values:
        """Return what `/api/history` would have answered."""
        return shapes.history(read_history(self._folder, most=limit), now_s=self._now_s)

    def logs(self, key: str) -> Values:
        """Return what `/api/logs/KEY` would have answered."""
        boot = Ledger(self._boots).find(key) or find_past(self._folder, key.lower())
        keys = (boot.id, *boot.addresses) if boot is not None else ()
        lines = lines_of(Store(self._folder / NODE_LOG), (*keys, key))
        if boot is None and not lines:
            raise unknown(key)
        return {"node": key, "lines": lines}
