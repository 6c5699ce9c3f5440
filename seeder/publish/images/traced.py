"""The order in which a boot reads its images, brought into the manifest (`swarmboot.release.trace`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from swarmboot.errors import ReleaseError, UnreadableError
from swarmboot.release.manifest import Artifact, Role
from swarmboot.release.trace import MAX_RANGES, Read, check_known, parse_trace, ranges_of
from swarmboot.setting_values import ON
from swarmboot.text.arguments import last_value

_MAX_BYTES = 64 << 20
_IMAGES = (Role.ROOT, Role.PLUGIN)


def read_trace(path: Path) -> dict[str, tuple[Read, ...]]:
    """Return the reads in a trace's file; raise UnreadableError and ReleaseError."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ReleaseError(f"{path} is too large for a trace", expected=f"at most {_MAX_BYTES} bytes")
        text = path.read_text()
    except OSError as error:
        hint = "name a trace, as `swarmboot trace record` and `trace export` write it"
        raise UnreadableError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{path} is no text", expected="UTF-8", found=f"other bytes at {error.start}") from error
    return parse_trace(text, where=str(path))


def whole_first(
    artifacts: Sequence[Artifact], cmdlines: Sequence[str], trace: Mapping[str, tuple[Read, ...]] | None
) -> list[str]:
    """Return, as notes, what is asked for that an image's format does not give: a root that is unpacked is not used
    before it is whole, whatever `swarmboot.lazy` and a trace say.
    """
    root = next(each for each in artifacts if each.role is Role.ROOT)
    words = ["lazy = true" for cmdline in cmdlines if last_value(cmdline, "swarmboot.lazy") in ON]
    words += ["a trace"] if trace and root.name in trace else []
    if root.is_mounted or not words:
        return []
    why = "nodes unpack it, so all of it is fetched before it is used; a squashfs would be used before that"
    return [f"{words[0]} is of no use to {root.name}: {why}"]


def traced(
    artifacts: tuple[Artifact, ...], trace: Mapping[str, tuple[Read, ...]] | None, before: Sequence[Artifact]
) -> tuple[Artifact, ...]:
    """Return the artifacts with the pieces that a boot reads of each.

    Without a trace an image keeps the one that was published `before` with the same bytes and pieces. Raises
    ReleaseError if the trace names what is no image of the release, reads beyond the end of one, or has more runs of
    pieces than a manifest has room for.
    """
    if trace is None:
        known = {each.info_hash: each.trace for each in before}
        return tuple(replace(each, trace=known.get(each.info_hash, ())) for each in artifacts)
    check_known(trace, (each.name for each in artifacts if each.role in _IMAGES), where="the trace")
    found = tuple(
        replace(each, trace=ranges_of(
            trace.get(each.name, ()), size_bytes=each.size_bytes, piece_bytes=each.piece_bytes,
            where=f"the trace of {each.name}",
        ))
        for each in artifacts
    )  # fmt: skip
    runs = sum(len(each.trace) for each in found)
    if runs > MAX_RANGES:
        raise ReleaseError(
            "the trace has too many runs of pieces", expected=f"at most {MAX_RANGES}", found=f"{runs}",
            hint="publish with longer pieces (--piece)",
        )  # fmt: skip
    return found
