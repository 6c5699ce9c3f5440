"""BitTorrent v2 with the neighbours: the only module that touches libtorrent, but for `metadata` beside it.

Nothing here waits: a descriptor becomes readable when there is something to take in, `events` takes it in, and what has
come about can be asked. A piece counts when its finished alert arrives, not when it was handed in. Settings are for one
LAN: no DHT, no port mapping, no uTP, no encryption, short timeouts. Works with libtorrent 2.0.8 (Debian 12) and 2.1.

A neighbour that is fetching itself has little that is new. Asked for more blocks ahead than it has, libtorrent thinks
itself in the end game with it, and asks for the next piece one block at a time. So a node that fetches lets others ask
for one piece ahead (BEP 10, `reqq`), or half of one where links are slow, and one that has everything for little more:
what was asked for long ahead is no longer rare when it comes, and other nodes wait for what is.

Connections are made at once rather than at libtorrent's next tick: a torrent is added paused, given its neighbours, and
resumed when it has left its checking state, which makes libtorrent dial immediately. Files of an earlier run must be
checked first, which a paused torrent does not do: such a torrent is told to pause when it is ready.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import libtorrent as lt

from leecher.policy.ahead import ahead_bytes, seed_ahead_bytes
from leecher.policy.events import Event, NeighbourBanned, PieceFailed, PieceFinished
from leecher.policy.urgency import urgencies
from leecher.swarm.metadata import view_of
from swarmboot.errors import PortInUseError, SpaceError
from swarmboot.ids import InfoHash
from swarmboot.release import piece_set as sets
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces
from swarmboot.text.addresses import host_port, is_ipv6
from swarmboot.wire.announce import Neighbour

_SETTINGS: dict[str, Any] = {
    "user_agent": "swarmboot",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "mixed_mode_algorithm": 0,
    "out_enc_policy": 2,
    "in_enc_policy": 2,
    "peer_dscp": 0,
    "whole_pieces_threshold": 0,
    "request_queue_time": 1,
    "send_buffer_watermark": 64 * 1024,
    "send_buffer_low_watermark": 16 * 1024,
    "piece_timeout": 3,
    "request_timeout": 5,
    "peer_connect_timeout": 3,
    "min_reconnect_time": 1,
    "max_failcount": 20,
    "connection_speed": 500,
    "torrent_connect_boost": 255,
    "connections_limit": 1000,
    "listen_queue_size": 1024,
    "max_retry_port_bind": 0,
    "listen_system_port_fallback": False,
    "unchoke_slots_limit": -1,
    "max_queued_disk_bytes": 4 * 1024 * 1024,
    "aio_threads": 1,
    "hashing_threads": 1,
    "tick_interval": 100,
    "allow_multiple_connections_per_ip": True,
    "alert_queue_size": 20000,
    "suggest_mode": 0,
    "close_redundant_connections": False,
    "strict_end_game_mode": True,
    "piece_extent_affinity": False,
    "initial_picker_threshold": 0,
    "auto_manage_prefer_seeds": False,
    "active_downloads": -1,
    "active_seeds": -1,
    "active_limit": -1,
    "dont_count_slow_torrents": True,
}

_BLOCK_BYTES = 1 << 14
_BLOCKED = 1
"""access_flags.blocked of libtorrent's ip_filter, which Python does not name."""


class Swarm:
    """One libtorrent session and the torrents of one node; `woken` is readable when there are `events`.

    Close it at the end. Raises PortInUseError if this machine has no such address.
    """

    def __init__(self, *, bind: str, port: int, up_bytes_per_s: float, is_lazy: bool = False) -> None:
        self._is_lazy = is_lazy
        self._wake, self.woken = socket.socketpair()
        self._wake.setblocking(False)
        self.woken.setblocking(False)
        settings: Any = {**_SETTINGS, "listen_interfaces": _interfaces(bind, port or _free_port(bind))}
        if bind:
            settings["outgoing_interfaces"] = bind
        category = lt.alert.category_t
        settings["alert_mask"] = (
            category.storage_notification
            | category.peer_notification
            | category.status_notification
            | category.error_notification
            | category.piece_progress_notification
        )
        self._session = lt.session(settings)
        self._session.set_alert_fd(self._wake.fileno())
        self._refused = lt.ip_filter()
        self._handles: dict[InfoHash, Any] = {}
        self._piece_bytes = 0
        self._link_bytes_per_s = 0.0
        self._is_seeding = False
        self._metadata: dict[InfoHash, Any] = {}
        self._by_name: dict[str, InfoHash] = {}
        self._checked: set[InfoHash] = set()
        self._flushing: set[InfoHash] = set()
        self._renaming: set[InfoHash] = set()
        self._is_listening = False
        self._listen_failure = ""
        self._storage_failure = ""
        if up_bytes_per_s:
            self.limit_uploads(round(up_bytes_per_s))

    def limit_uploads(self, rate_bytes_per_s: int) -> None:
        """Send no faster from now on, 0 for no limit: in both classes, private addresses are in `local` alone."""
        for name in (self._session.global_peer_class_id, self._session.local_peer_class_id):
            peer_class = self._session.get_peer_class(name)
            peer_class["upload_limit"] = rate_bytes_per_s
            self._session.set_peer_class(name, peer_class)

    def events(self) -> list[Event]:
        """Return what has happened since last time; raises SpaceError if the images can no longer be written."""
        try:
            while self.woken.recv(4096):
                pass
        except BlockingIOError:
            pass
        events = [event for event in map(self._translate, self._session.pop_alerts()) if event is not None]
        if self._storage_failure:
            what = f"the images cannot be written: {self._storage_failure}"
            raise SpaceError(what, hint="give the node more room")
        return events

    def _translate(self, alert: Any) -> Event | None:
        if isinstance(alert, lt.piece_finished_alert):
            return PieceFinished(self._by_name[alert.torrent_name], alert.piece_index)
        if isinstance(alert, lt.hash_failed_alert):
            return PieceFailed(self._by_name[alert.torrent_name], alert.piece_index)
        if isinstance(alert, lt.peer_ban_alert):
            return NeighbourBanned(str(alert.endpoint[0]))
        self._note(alert)
        return None

    def _note(self, alert: Any) -> None:
        """Take note of what somebody may ask about; libtorrent also reports what nobody asked for."""
        if isinstance(alert, lt.listen_succeeded_alert):
            self._is_listening = True
        elif isinstance(alert, lt.listen_failed_alert):
            self._listen_failure = alert.message()
        elif isinstance(alert, lt.torrent_checked_alert):
            self._checked.add(self._by_name[alert.torrent_name])
        elif isinstance(alert, lt.cache_flushed_alert):
            self._flushing.discard(self._by_name[alert.torrent_name])
        elif isinstance(alert, lt.file_renamed_alert):
            self._renaming.discard(self._by_name[alert.torrent_name])
        elif isinstance(alert, lt.file_error_alert | lt.file_rename_failed_alert):
            self._storage_failure = alert.message()

    @property
    def port(self) -> int:
        """Return the port that neighbours can dial, 0 while it is not open; raise PortInUseError if it cannot be."""
        if not self._is_listening and not self._listen_failure:
            return 0
        port = int(self._session.listen_port())
        if not port:
            hint = "choose another --port"
            raise PortInUseError("cannot listen for neighbours", found=self._listen_failure or "no answer", hint=hint)
        return port

    def add(self, artifact: Artifact, torrent: bytes, folder: Path, file_name: str) -> None:
        """Start on an artifact, with what `folder`/`file_name` holds already; nothing is dialled before `start`.

        Raises ManifestError if the torrent is not the one that the manifest names.
        """
        metadata = view_of(artifact, torrent)
        metadata.rename_file(0, file_name)
        parameters = lt.add_torrent_params()
        parameters.ti = metadata
        parameters.save_path = str(folder)
        flags = lt.torrent_flags
        is_there = (folder / file_name).exists()
        parameters.flags = flags.stop_when_ready if is_there else flags.paused
        parameters.flags |= flags.disable_pex | flags.disable_dht | flags.apply_ip_filter
        if not self._handles:
            self._piece_bytes = artifact.piece_bytes
            self.expect_links(self._link_bytes_per_s)
        self._by_name[metadata.name()] = artifact.info_hash
        if self._is_lazy:  # tmpfs that is given its memory first stands still for nobody later
            parameters.storage_mode = lt.storage_mode_t.storage_mode_allocate
        self._handles[artifact.info_hash] = self._session.add_torrent(parameters)
        if self._is_lazy and artifact.trace:
            self.leave(artifact, 0)
        self._metadata[artifact.info_hash] = metadata

    def leave(self, artifact: Artifact, pieces: Pieces) -> None:
        """Ask no neighbour for these pieces of an artifact, but take them if they are handed in; ask for all others."""
        first = artifact.boot_set if self._is_lazy else 0
        priorities = urgencies(artifact.pieces, first=first, expected=pieces)
        self._handles[artifact.info_hash].prioritize_pieces([*map(int, priorities)])

    def move(self, artifact: Artifact, torrent: bytes, folder: Path, file_name: str) -> None:
        """Have an artifact that was not started yet in another file, with what that holds, which is checked anew."""
        self._session.remove_torrent(self._handles.pop(artifact.info_hash))
        self._checked.discard(artifact.info_hash)
        self.add(artifact, torrent, folder, file_name)

    def expect_links(self, bytes_per_s: float) -> None:
        """Let neighbours that connect from now on ask for as much ahead as links of this rate need; 0 for unknown."""
        self._link_bytes_per_s = bytes_per_s
        self._allow_ahead()

    def seed(self) -> None:
        """Let neighbours that connect from now on ask for as much ahead as of a node that has all pieces."""
        self._is_seeding = True
        self._allow_ahead()

    def _allow_ahead(self) -> None:
        if self._piece_bytes:
            may_ask = seed_ahead_bytes if self._is_seeding else ahead_bytes
            size_bytes = may_ask(self._piece_bytes, self._link_bytes_per_s)
            self._session.apply_settings({"max_allowed_in_request_queue": -(-size_bytes // _BLOCK_BYTES)})

    def is_checked(self, info_hash: InfoHash) -> bool:
        """Return whether libtorrent knows which pieces are there already; before that it takes none."""
        return info_hash in self._checked

    def pieces(self, info_hash: InfoHash) -> Pieces:
        """Return the verified pieces of a torrent that has been checked."""
        status = self._handles[info_hash].status(lt.torrent_handle.query_pieces)
        return sets.of(index for index, has in enumerate(status.pieces) if has)

    def start(self, info_hash: InfoHash, neighbours: Iterable[Neighbour]) -> None:
        """Dial these neighbours at once and begin to swap."""
        self.connect(info_hash, neighbours)
        self._handles[info_hash].resume()

    def connect(self, info_hash: InfoHash, neighbours: Iterable[Neighbour]) -> None:
        """Dial these neighbours: at once as long as there is no connection yet, later within a second.

        libtorrent dials once a second, and when a torrent is resumed. A pause before that would cost connections, so it
        is made only while there are none.
        """
        handle = self._handles[info_hash]
        have_dialled = [_dial(handle, neighbour) for neighbour in neighbours]
        if any(have_dialled) and not handle.status().num_connections:
            handle.pause()
            handle.resume()

    def refuse(self, host: str) -> None:
        """Have no connection with this address any more, whoever dials, in any torrent; what there is ends.

        libtorrent's own ban is of one torrent and, where an address may have several connections, of one port.
        """
        address = host.partition("%")[0]
        self._refused.add_rule(address, address, _BLOCKED)
        self._session.set_ip_filter(self._refused)

    def insert(self, info_hash: InfoHash, index: int, data: bytes) -> None:
        """Hand in a piece that was fetched elsewhere; it counts when its event arrives.

        Some libtorrents take a file's last piece only with its padding, 2.0.13 and later only without, and what is of
        the wrong size is dropped without a word (findings/libtorrent-last-piece.sh). So such a piece goes in both ways.
        Blocks of it that neighbours have sent stay, so that a lying neighbour's spoil an honest origin's piece.
        """
        handle, missing_bytes = self._handles[info_hash], self._metadata[info_hash].piece_size(index) - len(data)
        handle.add_piece(index, data, 0)
        if missing_bytes > 0:
            handle.add_piece(index, data + bytes(missing_bytes), 0)

    def hurry(self, info_hash: InfoHash, index: int, deadline_s: float) -> None:
        """Have neighbours asked for a piece before all others, for it to be there in so many seconds."""
        self._handles[info_hash].set_piece_deadline(index, round(deadline_s * 1000))

    def flush(self, info_hash: InfoHash) -> None:
        """Write out every piece that counts, so that it can be read from its file once `is_flushed`."""
        self._flushing.add(info_hash)
        self._handles[info_hash].flush_cache()

    def is_flushed(self, info_hash: InfoHash) -> bool:
        """Return whether the last `flush` is over."""
        return info_hash not in self._flushing

    def rename(self, info_hash: InfoHash, file_name: str) -> None:
        """Give a finished artifact's file its final name, which it has once `is_renamed`; it goes on being seeded."""
        self._renaming.add(info_hash)
        self._handles[info_hash].rename_file(0, file_name)

    def is_renamed(self, info_hash: InfoHash) -> bool:
        """Return whether the last `rename` is over."""
        return info_hash not in self._renaming

    def received_bytes(self) -> int:
        """Return the payload received from neighbours, pieces that failed their hash included."""
        return sum(int(handle.status().total_payload_download) for handle in self._handles.values())

    def close(self) -> None:
        """Leave the swarm."""
        self._session.pause()
        del self._session
        self._wake.close()
        self.woken.close()


def _dial(handle: Any, neighbour: Neighbour) -> bool:
    """Return whether libtorrent took a neighbour: one that is no IP address and port ends no boot."""
    try:
        handle.connect_peer((neighbour.host, neighbour.port))
    except (TypeError, OverflowError, RuntimeError):  # ArgumentError, a number out of range, libtorrent's system errors
        return False
    return True


def _interfaces(bind: str, port: int) -> str:
    if bind:
        return host_port(bind, port)
    return f"0.0.0.0:{port},[::]:{port}"


def _free_port(bind: str) -> int:
    """Return a TCP port that is free now: one for all addresses, where libtorrent would choose one for each."""
    with socket.socket(socket.AF_INET6 if is_ipv6(bind) else socket.AF_INET) as trial:
        try:
            trial.bind((bind, 0))
        except OSError as error:
            hint = "give an address of this machine"
            raise PortInUseError(f"cannot listen on {bind}", found=error.strerror or "", hint=hint) from error
        return int(trial.getsockname()[1])
