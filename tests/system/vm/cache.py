"""Things that take long to build, kept under .cache/vm/ by what they are made of."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.support.tree import TREE

CACHE = TREE / ".cache" / "vm"


def fingerprint(paths: Iterable[Path], *texts: str) -> str:
    """Return a short digest of files and texts."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(TREE).as_posix().encode() + b"\0" + path.read_bytes())
    for text in texts:
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()[:16]


def cached(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder that `build` has filled for this key, filling it now if it is not there; older ones go."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"{name}-{key}"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for stale in CACHE.glob(f"{name}-*"):
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{name}.partial.") as work:
                build(Path(work) / "made")
                (Path(work) / "made").rename(folder)
    return folder
