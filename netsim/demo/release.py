"""The sample release: a real Debian when this machine can build one, else a generated one; built once and cached.

Run it as `python -m netsim.demo.release`. A build that fails or is interrupted leaves no release behind: it is made in
a folder of its own and renamed when it is whole. It will not install programs; `make sample-release` does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsim.demo import debian
from netsim.demo.files import make_squashfs, missing_programs, write_plugin, write_settings
from netsim.lab.rack.signals import stopped_by_signals
from swarmboot.cli import exit_for
from swarmboot.errors import LabError, SwarmbootError
from swarmboot.text.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE = Path(__file__).parent.parent.parent / ".cache"
RECIPE = 2
"""Raised when the builders change, so that a cached release of an older recipe is built again."""
_RANDOM_BYTES = 64 << 20
_QUICK = 3
_INTERRUPTED = 130
_FAILED = "the build failed"


@dataclass(frozen=True, slots=True)
class Record:
    """What the cached release is. `instead_of_debian` is why it is a generated one, or nothing for a Debian."""

    recipe: int
    instead_of_debian: str
    contents: str

    @property
    def line(self) -> str:
        """Return what the release is, in one line."""
        why = f" instead of a real Debian: {self.instead_of_debian}" if self.instead_of_debian else ""
        return f"sample release: {self.contents}{why}"


def sample_release(cache: Path = CACHE, *, say: Callable[[str], None], is_debian_wanted: bool = True) -> Path:
    """Return the folder of the sample release, building it first if it is not there; say in one line what it is.

    Waits for another build that is under way. Raises LabError or OSError if not even a generated one can be made.
    """
    lack = debian.why_not() if is_debian_wanted else "not asked for"
    release, record_path = cache / "sample-release", cache / "sample-release.json"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "sample-release.lock"):
        record = _read_record(record_path) if release.is_dir() else None
        if record is None or not _is_good_enough(record, lack=lack):
            for stale in cache.glob("sample-release.*.partial"):
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(dir=cache, prefix="sample-release.", suffix=".partial") as work:
                record = _build(Path(work), lack=lack, say=say)
                record_path.unlink(missing_ok=True)
                if release.exists():
                    release.rename(Path(work) / "old")
                (Path(work) / "release").rename(release)
            record_path.write_text(json.dumps(asdict(record)))
    size_bytes = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
    say(f"{record.line} ({format_size(size_bytes)} in {os.path.relpath(release)})")
    return release


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_record(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _is_good_enough(record: Record, *, lack: str) -> bool:
    """A generated release is replaced once the machine's lack that it was made for is gone."""
    reason = record.instead_of_debian
    return record.recipe == RECIPE and (not reason or reason.startswith(_FAILED) or bool(lack))


def _build(work: Path, *, lack: str, say: Callable[[str], None]) -> Record:
    if not lack:
        try:
            release = _empty(work)
            debian.build(release, work=work, say=lambda line: say(f"sample release: {line}"))
            _finish(release, work, name="debian-sample")
            return Record(RECIPE, "", "a Debian root image, kernel and plugin")
        except LabError as error:
            lack = f"{_FAILED}, {error}"
    release = _empty(work)
    if missing_programs(["mksquashfs"]):
        with (release / "rootfs.squashfs").open("wb") as image:
            for _ in range(_RANDOM_BYTES >> 20):
                image.write(os.urandom(1 << 20))
        write_settings(release, name="random-sample")
        return Record(RECIPE, lack, "random bytes, as there is no mksquashfs either,")
    make_squashfs(Path(sysconfig.get_path("purelib")), release / "rootfs.squashfs", "-all-root", level=_QUICK)
    _finish(release, work, name="generated-sample")
    return Record(RECIPE, lack, "a squashfs of the Python packages installed here")


def _empty(work: Path) -> Path:
    release = work / "release"
    if release.exists():
        shutil.rmtree(release)
    release.mkdir()
    return release


def _finish(release: Path, work: Path, *, name: str) -> None:
    write_plugin(release, work=work)
    write_settings(release, name=name)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), default=CACHE, help="Where it is kept.")
@click.option("--generated", is_flag=True, help="Do without a real Debian even where one could be built.")
def main(cache: Path, generated: bool) -> None:
    """Build the sample release, once.

    \b
    Example:
      python -m netsim.demo.release --cache .cache
    """
    try:
        with stopped_by_signals():
            sample_release(cache, say=_say, is_debian_wanted=not generated)
    except KeyboardInterrupt:
        print("stopped; nothing half-made is left", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except (SwarmbootError, OSError) as error:
        exit_for(error)


if __name__ == "__main__":
    main()
