"""What a node asks its seeder for in private, and the answers: sealed secrets by digest, its own files by MAC address.

Pure: bytes to values and back, bounded; DecodeError for anything else. Proofs are `swarmboot.crypto.fleet_token`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.ids import DIGEST_BYTES, Digest

PRIVATE_MAX_BYTES = 4096
"""What a request for something private may take."""

FILES_MAX_BYTES = 5 << 20
MAX_FILES = 4096
MAX_MACS = 32
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_PATH = re.compile(r"[^\x00-\x1f\x7f]{1,512}\Z")

NodeFiles = Mapping[str, tuple[int, bytes]]
"""Mode and content of files by their path in the initramfs, without a leading slash."""


def encode_secrets_wanted(digest: Digest) -> bytes:
    """Return a request for the sealed secrets with this digest."""
    return pack({"secrets": digest})


def decode_secrets_wanted(data: bytes) -> Digest:
    """Return the digest in such a request; raise DecodeError otherwise."""
    return Digest(Fields(unpack(data, max_bytes=PRIVATE_MAX_BYTES), "request").raw("secrets", exactly=DIGEST_BYTES))


def encode_files_wanted(macs: frozenset[str]) -> bytes:
    """Return a request for the files of the machine with these addresses (lower case, colons)."""
    return pack({"macs": sorted(macs)[:MAX_MACS]})


def decode_files_wanted(data: bytes) -> tuple[str, ...]:
    """Return the addresses in such a request; raise DecodeError otherwise."""
    macs = Fields(unpack(data, max_bytes=PRIVATE_MAX_BYTES), "request").texts("macs", most=MAX_MACS, each=17)
    if not all(_MAC.match(mac) for mac in macs):
        raise DecodeError("request.macs names something that is no MAC address")
    return macs


def encode_files(files: NodeFiles) -> bytes:
    """Return a node's files as an answer."""
    return pack({"files": [[path, mode, data] for path, (mode, data) in sorted(files.items())]})


def decode_files(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Return a node's files, each path plain: relative, without `..`, empty or control parts; raise DecodeError."""
    items = Fields(unpack(data, max_bytes=FILES_MAX_BYTES), "answer").items("files", most=MAX_FILES)
    return dict(_file(item) for item in items)


def _file(item: object) -> tuple[str, tuple[int, bytes]]:
    match item:
        case [str(path), int(mode), bytes(data)] if _is_plain(path) and 0 <= mode <= 0o777 and mode is not True:
            return path, (mode, data)
    raise DecodeError("a file is not a plain relative path, a mode and bytes")


def _is_plain(path: str) -> bool:
    return bool(_PATH.match(path)) and all(part not in ("", ".", "..") for part in path.split("/"))
