"""A copy of a site to try a publish in: everything small is copied, images are only linked, and nothing new is kept.

What is published there goes through the code that publishes, so that what is said of it is what would happen. The site
itself is read and not even locked.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seeder.site.torrent import Hashes
from seeder.site.writer import Advance, SiteWriter, SourceFile, hash_source, writing

_COPIED, _LINKED = ("manifests", "channels", "keys", "pins"), ("blobs", "torrents", "secrets")


class ScratchWriter(SiteWriter):
    """Hashes images in place of copying them; whether there is room is asked of the site itself."""

    def __init__(self, scratch: Path, site: Path) -> None:
        super().__init__(scratch)
        self._real = next(path for path in (site, *site.resolve().parents) if path.is_dir())

    def check_space(self, needed_bytes: int) -> None:
        """Raise SpaceError if the site's disk has not that much room."""
        SiteWriter(self._real).check_space(needed_bytes)

    def copy_blob(
        self,
        source: SourceFile,
        *,
        piece_bytes: int,
        advance: Advance,
        also: Callable[[bytes], None] | None = None,
    ) -> Hashes:
        """Return the hashes that the file would have in the site."""
        return hash_source(source, piece_bytes=piece_bytes, advance=advance, also=also)


@contextmanager
def scratch_of(site: Path) -> Iterator[SiteWriter]:
    """Give a writer to a copy of the site, gone afterwards; of a site that is not there yet it is an empty one."""
    with tempfile.TemporaryDirectory(prefix="swarmboot-dry-run.") as work:
        scratch = Path(work, "site")
        with writing(scratch):
            pass
        for name in (*_COPIED, *_LINKED):
            for path in (site / name).glob("*") if (site / name).is_dir() else ():
                if name in _COPIED:
                    shutil.copy2(path, scratch / name)
                else:
                    (scratch / name / path.name).symlink_to(path.resolve())
        yield ScratchWriter(scratch, site)
