"""What lies between two releases, and what it costs a node that has the one to have the other. Pure.

A node keeps of an older image the pieces that are the same at the same place under the same name
(`leecher/swarm/places.py`); pieces of another length are others. One that puts images together out of chunks fetches
the pieces that hold a byte which none of its old images has, wherever that lies in them (`swarmboot.release.chunks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from swarmboot.release.chunks import ChunkList, copies, gaps
from swarmboot.release.manifest import Artifact, Manifest, Role
from swarmboot.release.storage import storage_value
from swarmboot.text.units import format_size

Layers = Callable[[Artifact], tuple[bytes, ...]]
"""Gives the hash of each piece of an image; nothing for one of a single piece."""
Chunks = Callable[[Artifact], ChunkList | None]
"""Gives an image's chunks, None for one that was published without."""
_STAGE0 = (Role.KERNEL, Role.INITRAMFS)


@dataclass(frozen=True, slots=True)
class Image:
    """One file of either release. Sizes in bytes, None where it is not.

    `cost_bytes` is what of it is to be fetched by the pieces that are the same, `chunked_bytes` by the chunks.
    """

    name: str
    role: str
    old_bytes: int | None
    new_bytes: int | None
    cost_bytes: int
    chunked_bytes: int

    @property
    def change(self) -> str:
        """Return in a word what becomes of it."""
        if self.old_bytes is None:
            return "new"
        if self.new_bytes is None:
            return "gone"
        return "changed" if self.cost_bytes else "same"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two releases side by side. `settings` are lines about everything that is no file."""

    images: tuple[Image, ...]
    settings: tuple[str, ...]

    @property
    def cost_bytes(self) -> int:
        """Return what a node fetches beside stage 0, if it has all images of the old release."""
        return sum(image.cost_bytes for image in self.images if image.role not in _STAGE0)

    @property
    def chunked_bytes(self) -> int:
        """Return the same for a node that puts images together out of chunks."""
        return sum(image.chunked_bytes for image in self.images if image.role not in _STAGE0)

    @property
    def stage0_bytes(self) -> int:
        """Return what firmware loads again at every boot, whatever it had: kernel and initramfs."""
        return sum(image.new_bytes or 0 for image in self.images if image.role in _STAGE0)


def compare(old: Manifest, new: Manifest, layers: Layers, chunks: Chunks) -> Difference:
    """Return what changes from one release to the other."""
    lists = {artifact.name: chunks(artifact) for artifact in old.artifacts if artifact.role not in _STAGE0}
    olds = {name: found for name, found in lists.items() if found is not None}
    had = {artifact.name: artifact for artifact in old.artifacts}
    has = {artifact.name: artifact for artifact in new.artifacts}
    images = []
    for name in {**has, **had}:
        before, after = had.get(name), has.get(name)
        cost_bytes = _cost_bytes(before, after, layers) if after else 0
        by_chunks = _chunked_bytes(after, chunks(after), olds) if after and cost_bytes else cost_bytes
        images.append(_image(name, before, after, cost_bytes, min(cost_bytes, by_chunks)))
    return Difference(tuple(images), tuple(_settings(old, new)))


def _image(name: str, old: Artifact | None, new: Artifact | None, cost_bytes: int, chunked_bytes: int) -> Image:
    role = (new or old).role.value  # type: ignore[union-attr]
    old_bytes, new_bytes = (each.size_bytes if each else None for each in (old, new))
    return Image(name, role, old_bytes, new_bytes, cost_bytes, chunked_bytes)


def _cost_bytes(old: Artifact | None, new: Artifact, layers: Layers) -> int:
    if old is None or (old.sha256 != new.sha256 and old.piece_bytes != new.piece_bytes):
        return new.size_bytes
    if old.sha256 == new.sha256:
        return 0
    pairs = zip(layers(old), layers(new), strict=False)
    kept = {index for index, (before, after) in enumerate(pairs) if before == after}
    length = new.piece_bytes
    return sum(min(length, new.size_bytes - n * length) for n in range(new.pieces) if n not in kept)


def _chunked_bytes(new: Artifact, wanted: ChunkList | None, olds: Mapping[str, ChunkList]) -> int:
    """Return the size of the pieces that hold a byte which no old image has."""
    if wanted is None:
        return new.size_bytes
    length = new.piece_bytes
    missing: set[int] = set()
    for first_byte, size_bytes in gaps(copies(wanted, olds), size_bytes=new.size_bytes):
        missing.update(range(first_byte // length, (first_byte + size_bytes - 1) // length + 1))
    return sum(min(length, new.size_bytes - number * length) for number in missing)


def _settings(old: Manifest, new: Manifest) -> list[str]:
    lines = [
        f"{what}: {before or 'none'} -> {after or 'none'}"
        for what, before, after in (
            ("name", old.name, new.name),
            ("cmdline", old.cmdline, new.cmdline),
            ("allow", " ".join(old.allow), " ".join(new.allow)),
            ("storage", _storage(old), _storage(new)),
        )
        if before != after
    ]
    lines += _mapped("setting", old.env, new.env)
    profiles = [{each.name: repr(each) for each in manifest.profiles} for manifest in (old, new)]
    lines += [f"profile {name}: {_word(name, *profiles)}" for name in _changed(*profiles)]
    secrets = [{name: digest.hex() for name, digest in manifest.secrets.items()} for manifest in (old, new)]
    lines += [f"secret settings{f' of {name}' if name else ''}: {_word(name, *secrets)}" for name in _changed(*secrets)]
    files = [{name: digest.hex() for name, digest in manifest.node_secrets.items()} for manifest in (old, new)]
    lines += [f"secret files of {name}: {_word(name, *files)}" for name in _changed(*files)]
    if [each.name for each in old.profiles] != [each.name for each in new.profiles] and not _changed(*profiles):
        lines.append("profiles: in another order")
    return lines


def _storage(manifest: Manifest) -> str:
    return " ".join(map(str, storage_value(manifest.storage).values())) if manifest.storage else ""


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _word(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    return "new" if name not in old else "gone" if name not in new else "changed"


def _mapped(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [f"{what} {name}: {old.get(name, 'none')} -> {new.get(name, 'none')}" for name in _changed(old, new)]


def lines(found: Difference, *, old: str, new: str) -> list[str]:
    """Return it for a person."""
    rows: list[tuple[str, ...]] = [("FILE", "ROLE", "CHANGE", "BEFORE", "AFTER", "BY PIECES", "BY CHUNKS")]
    for image in found.images:
        sizes = map(_size, (image.old_bytes, image.new_bytes, image.cost_bytes, image.chunked_bytes))
        rows.append((image.name, image.role, image.change, *sizes))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    cost = f"a node that has all of {old} fetches {format_size(found.cost_bytes)} for {new}"
    stage0 = f"; firmware loads {format_size(found.stage0_bytes)} of stage 0" if found.stage0_bytes else ""
    chunks = f", {format_size(found.chunked_bytes)} if it puts them together out of chunks"
    return [*table, *found.settings, cost + (chunks if found.chunked_bytes < found.cost_bytes else "") + stage0]


def _size(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else format_size(size_bytes)


def value(found: Difference) -> dict[str, object]:
    """Return it as JSON has it."""
    return {
        "images": [
            {
                "name": image.name,
                "role": image.role,
                "change": image.change,
                "old_bytes": image.old_bytes,
                "new_bytes": image.new_bytes,
                "cost_bytes": image.cost_bytes,
                "chunked_bytes": image.chunked_bytes,
            }
            for image in found.images
        ],
        "settings": list(found.settings),
        "cost_bytes": found.cost_bytes,
        "chunked_bytes": found.chunked_bytes,
        "stage0_bytes": found.stage0_bytes,
    }
