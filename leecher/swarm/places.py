"""Where the images of one fetch lie while they arrive, and what becomes of files that stand there already.

An image arrives in `.partial/SHA256` and has its name only when it is whole and right: whoever is killed before that
leaves an older image as it was. Files that an earlier run has left are checked by libtorrent where they are. One under
its final name that turns out to be another image is left alone, and what it has in common with the new one is copied;
where it is of no use to anybody, as in an initramfs whose memory it would take, it becomes the new one's beginning.

Links are followed nowhere: one in an image's place is passed over, and replaced at the end. That needs a folder for
partial files that nobody else can write to.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from leecher.machine.space import check_space
from swarmboot.errors import ResourceError, SpaceError
from swarmboot.ids import InfoHash
from swarmboot.release import layout
from swarmboot.release import piece_set as sets
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm

PARTIAL = ".partial"
_COPY_BYTES = 1 << 20


def partial_name(artifact: Artifact) -> str:
    """Return where an image is while it is not whole, under the directory the images go to."""
    return f"{PARTIAL}/{artifact.sha256.hex()}"


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file, and no link to one."""
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def place_of(artifact: Artifact, into: Path) -> str:
    """Return the name under which an earlier run may have left an image, or where a new one begins."""
    partial = partial_name(artifact)
    return artifact.name if is_file(into / artifact.name) and not is_file(into / partial) else partial


def is_begun(artifact: Artifact, into: Path) -> bool:
    """Return whether there is a file to check before anything is fetched."""
    return is_file(into / place_of(artifact, into))


def missing_bytes(artifact: Artifact, into: Path, *, keeps_old: bool) -> int:
    """Return how much more room an image needs; a file with its name and size is taken for it until it is checked."""
    name = place_of(artifact, into)
    with suppress(OSError):
        status = (into / name).lstat()
        if name != artifact.name or not keeps_old or status.st_size == artifact.size_bytes:
            return max(0, artifact.size_bytes - status.st_blocks * 512)
    return artifact.size_bytes


def make_room_for_partials(into: Path) -> None:
    """See to it that partial files go to a folder of our own; raise ResourceError if it is somebody else's."""
    folder = into / PARTIAL
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ResourceError(
            f"{folder} is not this user's folder", expected="one of its own for what is not whole", hint="remove it"
        )
    folder.chmod(0o700)
    for path in folder.iterdir():
        if not is_file(path):
            path.unlink()


def drop_others(wanted: set[str], into: Path) -> None:
    """Remove partial files of images that are wanted no more, by digest in hexadecimal: they would take room."""
    folder = into / PARTIAL
    if folder.is_symlink():
        return
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)


class Places:
    """The places of one fetch's artifacts below `into`. `wake` is called, in any thread, when `settle` has more to do.

    `keeps_old` says whether a file of another image under a final name is left whole until the new one is. `is_fresh`
    says that no earlier run has left anything to check.
    """

    def __init__(
        self,
        artifacts: Mapping[InfoHash, Artifact],
        into: Path,
        *,
        keeps_old: bool,
        reserve_bytes: int,
        wake: Callable[[], None],
    ) -> None:
        self.is_fresh = not any(is_begun(artifact, into) for artifact in artifacts.values())
        self._artifacts = dict(artifacts)
        self._into = into
        self._keeps_old = keeps_old
        self._reserve_bytes = reserve_bytes
        self._wake = wake
        self._names: dict[InfoHash, str] = {}
        self._torrents: dict[InfoHash, bytes] = {}
        self._salvages: dict[InfoHash, Salvage] = {}
        self._is_settled = False

    def path(self, info_hash: InfoHash) -> Path:
        """Return where an image is, until it is given its name."""
        return self._into / self._names[info_hash]

    def is_final(self, info_hash: InfoHash) -> bool:
        """Return whether an image had its name from the beginning."""
        return self._names[info_hash] == self._artifacts[info_hash].name

    def begin(self, swarm: Swarm, documents: Mapping[str, bytes]) -> None:
        """Add every artifact to a swarm where it is; raises ManifestError as `Swarm.add` does, and ResourceError."""
        self._names = {h: place_of(artifact, self._into) for h, artifact in self._artifacts.items()}
        if not all(map(self.is_final, self._artifacts)):
            make_room_for_partials(self._into)
        for info_hash, artifact in self._artifacts.items():
            torrent = self._torrents[info_hash] = documents[layout.torrent_path(info_hash)]
            swarm.add(artifact, torrent, self._into, self._names[info_hash])

    def settle(self, swarm: Swarm) -> bool:
        """Return whether every artifact is where it can be written, and checked; call again when woken.

        Raises SpaceError if there is no room beside an older image.
        """
        if not self._is_settled and all(map(swarm.is_checked, self._artifacts)):
            try:
                self._is_settled = not [h for h in self._artifacts if not self._is_right(swarm, h)]
            except OSError as error:
                raise SpaceError(f"the images cannot be written: {error}", hint="give the node more room") from error
        return self._is_settled

    def _is_right(self, swarm: Swarm, info_hash: InfoHash) -> bool:
        """Return whether one artifact is in its place; begin to bring it there if not."""
        artifact, old = self._artifacts[info_hash], self.path(info_hash)
        if not self.is_final(info_hash):
            return True
        good = swarm.pieces(info_hash)
        if good.bit_count() == artifact.pieces and old.lstat().st_size == artifact.size_bytes:
            return True
        new = self._into / partial_name(artifact)
        salvage = self._salvages.get(info_hash)
        if salvage is None:
            make_room_for_partials(self._into)
            if not self._keeps_old:
                old.replace(new)
                os.truncate(new, min(artifact.size_bytes, new.stat().st_size))
            else:
                self._check_room(artifact)
            if self._keeps_old and good:
                self._salvages[info_hash] = Salvage(artifact, good, old, new, self._wake)
                return False
        elif not salvage.is_over:
            return False
        elif salvage.failure is not None:
            raise salvage.failure
        self._names[info_hash] = partial_name(artifact)
        swarm.move(artifact, self._torrents[info_hash], self._into, self._names[info_hash])
        return False

    def _check_room(self, one: Artifact) -> None:
        """Raise SpaceError if there is no room for `one` beside what is there, and for what else is missing."""
        others = (artifact for artifact in self._artifacts.values() if artifact is not one)
        needed_bytes = one.size_bytes + sum(missing_bytes(each, self._into, keeps_old=True) for each in others)
        check_space(self._into, needed_bytes=needed_bytes, reserve_bytes=self._reserve_bytes)


class Salvage:
    """Copies the pieces `good` of one file to a new one, in a thread of its own, and wakes when it is over."""

    def __init__(self, artifact: Artifact, good: Pieces, old: Path, new: Path, wake: Callable[[], None]) -> None:
        self.is_over = False
        self.failure: OSError | None = None
        self._artifact = artifact
        self._good = good
        self._paths = old, new
        self._wake = wake
        threading.Thread(target=self._run, name="salvage", daemon=True).start()

    def _run(self) -> None:
        old, new = self._paths
        reading, writing = os.O_RDONLY | os.O_NOFOLLOW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with (
                os.fdopen(os.open(old, reading | os.O_CLOEXEC), "rb", 0) as source,
                os.fdopen(os.open(new, writing | os.O_CLOEXEC, 0o666), "wb", 0) as target,
            ):
                for index in sets.each(self._good):
                    self._copy(source.fileno(), target.fileno(), index * self._artifact.piece_bytes)
        except OSError as error:
            self.failure = error
        self.is_over = True
        self._wake()

    def _copy(self, source: int, target: int, at_bytes: int) -> None:
        end_bytes = min(at_bytes + self._artifact.piece_bytes, self._artifact.size_bytes)
        while at_bytes < end_bytes and (data := os.pread(source, min(_COPY_BYTES, end_bytes - at_bytes), at_bytes)):
            at_bytes += os.pwrite(target, data, at_bytes)
