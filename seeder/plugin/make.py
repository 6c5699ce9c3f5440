"""A plugin made: a recipe run over a root image, and what it changed packed. The same input makes the same bytes."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from seeder.plugin.build import Ground, check_can_build, run_script
from seeder.plugin.left_out import why_left_out
from seeder.plugin.overlay import Below, clamped, needed, plain
from seeder.plugin.packing import check_target, format_of, pack
from seeder.plugin.places import Places, kernel_of, landing, places
from seeder.plugin.recipe import Recipe
from seeder.plugin.root_image import RootImage, as_squashfs, read_root
from seeder.plugin.upper import as_link, linked, upper_entries
from swarmboot.archive import Entry
from swarmboot.errors import MalformedSettingError, RecipeError, ReleaseError

_EPOCH = "SOURCE_DATE_EPOCH"
_MOST_S = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Made:
    """A plugin that was made: where it is, its entries, what was left out by kind, and notes for a person."""

    path: Path
    entries: Mapping[str, Entry]
    left_out: Mapping[str, int]
    notes: tuple[str, ...] = ()


def make(recipe: Recipe, over: Path, output: Path | None, *, is_shell: bool, bound_s: float) -> Made:
    """Run a recipe, or a shell for a person, over a root image, and pack what changed into `output`.

    Without that it goes to the release's plugins/, or to this folder. Raises RecipeError if the recipe fails or changes
    nothing, having written nothing; else as what it calls.
    """
    check_can_build()
    root = read_root(over)
    target = output or _usual(recipe, root)
    check_target(target)
    with tempfile.TemporaryDirectory(prefix="swarmboot-plugin.") as work:
        image, time_s = as_squashfs(root, Path(work))
        time_s = _epoch(time_s)
        ground = Ground(image, root.layer, places(root.layer.inodes), Path(work))
        extra = {_EPOCH: str(time_s), "KERNEL_RELEASE": kernel_of(root.layer.inodes)}
        status = run_script(ground, recipe, _command(ground, is_shell), extra=extra, bound_s=0 if is_shell else bound_s)
        if status and not is_shell:
            raise RecipeError(
                "the recipe has failed", expected="exit status 0", found=str(status),
                hint="nothing is written; its own words are above",
            )  # fmt: skip
        made = _changes(ground, target)
        entries = clamped(made.entries, to_s=time_s)
        pack((entries[path] for path in sorted(entries)), target, time_s=time_s)
    return replace(made, entries=entries)


def _usual(recipe: Recipe, root: RootImage) -> Path:
    folder = root.release.folder / "plugins" if root.release else Path()
    return folder / f"{recipe.name}.squashfs"


def _epoch(otherwise_s: int) -> int:
    text = os.environ.get(_EPOCH, "")
    if not text:
        return otherwise_s
    if not text.isdecimal() or int(text) > _MOST_S:
        raise MalformedSettingError(f"{_EPOCH} is malformed", expected="seconds since 1970", found=text)
    return int(text)


def _command(ground: Ground, is_shell: bool) -> tuple[str, ...]:
    if not is_shell:
        return (f"/{ground.places.folders['run']}/swarmboot-plugin/recipe",)
    has_bash = landing(ground.root.inodes, "bin/bash") in ground.root.inodes
    return ("/bin/bash" if has_bash else "/bin/sh", "-i")


def _changes(ground: Ground, target: Path) -> Made:
    """Return what has changed, as it is to be packed."""
    found, left_out = _sorted_out(ground.upper, ground.places)
    below = Below(ground.root.inodes)
    entries = needed(plain(found, below, label="the recipe"), below, ground.places.own, ground.same)
    if not entries:
        raise RecipeError("the recipe has changed nothing that a node would get", hint="nothing is written")
    if format_of(target) != "squashfs":
        check_for_tar(entries, below, target)
    files = [path for path, entry in entries.items() if entry.kind == "file"]
    for name, first in linked(ground.upper, files).items():
        entries[name] = as_link(entries[name], first)
    return Made(target, entries, left_out, tuple(attribute_notes(entries)))


def _sorted_out(upper: Path, at: Places) -> tuple[list[Entry], Counter[str]]:
    """Return what the script itself has changed, and how many of what kind are left out of it."""
    found, left_out = [], Counter[str]()
    for entry in upper_entries(upper):
        kind = "whiteout" if entry.is_whiteout else entry.kind
        if entry.name in at.own and entry.kind != "folder":
            continue
        if why := why_left_out(entry.name, kind):
            left_out[why] += kind != "folder"
        else:
            found.append(entry)
    return found, +left_out


def check_for_tar(entries: Mapping[str, Entry], below: Below, target: Path) -> None:
    """Raise ReleaseError for what nodes do not do by a tar: put anything else in the place of a folder of the root."""
    wrong = [path for path, entry in entries.items() if _is_in_place_of_folder(entry, below.is_folder(path))]
    if wrong:
        raise ReleaseError(
            f"{target.name} would bring /{wrong[0]} in the place of a folder of the root",
            expected="a squashfs: nodes lay a tar over what is there",
            hint="name it .squashfs",
        )


def _is_in_place_of_folder(entry: Entry, is_folder: bool) -> bool:
    return is_folder and entry.kind != "folder" and not entry.is_whiteout


def attribute_notes(entries: Mapping[str, Entry]) -> list[str]:
    """Return a line about extended attributes that are not packed, if there are any."""
    own = ("trusted.overlay.", "user.overlay.")
    with_more = [
        path for path, entry in entries.items() if any(not name.startswith(own) for name, _ in entry.attributes)
    ]
    if not with_more:
        return []
    return [
        f"extended attributes other than capabilities are not packed: {len(with_more)} files, /{min(with_more)} first"
    ]
