"""A release in the making, for what `publish --check` says of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from swarmboot.errors import CannotBootError
from swarmboot.release import key_files
from tests.support.commands import Done, run
from tests.support.releases.bootable_roots import squash, tar

BOOTS = 0
REFUSED = CannotBootError.exit_status


@dataclass(slots=True)
class Bench:
    """A release in the making: a root and plugins as folders, which are packed when it is looked at."""

    folder: Path
    root: Path
    plugins: dict[str, Path] = field(default_factory=dict)
    image: str = "rootfs.squashfs"

    @property
    def release(self) -> Path:
        return self.folder / "release"

    def plugin(self, name: str) -> Path:
        """Return the folder of a plugin, made now."""
        folder = self.plugins.setdefault(name, self.folder / "plugins" / name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def file(self, label: str, data: bytes | str = b"x") -> Path:
        """Write a file of the release itself."""
        path = self.release / label
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def pack(self) -> None:
        """Pack root and plugins."""
        (self.release / "plugins").mkdir(parents=True, exist_ok=True)
        (squash if self.image.endswith("squashfs") else tar)(self.root, self.release / self.image)
        for name, folder in self.plugins.items():
            (squash if name.endswith("squashfs") else tar)(folder, self.release / "plugins" / name)

    def publish(self, *options: object) -> Done:
        private = self.folder / "keys" / key_files.PRIVATE_NAME
        if not private.exists():
            key_files.write_pair(private.parent)
        return run("publish", self.release, "--site", self.folder / "site", "--key", private, *options)

    def check(self) -> tuple[int, str, str]:
        """Return the status of a check, what is refused and what is noted, a line each."""
        self.pack()
        done = self.publish("--check", "--json")
        found = json.loads(done.out)
        assert found["can_boot"] == (done.status == BOOTS)
        lines = [
            (each["is_fatal"], " ".join(each[k] for k in ("what", "expected", "found", "hint")))
            for each in found["findings"]
        ]
        refused, noted = ("\n".join(line for is_fatal, line in lines if is_fatal is kind) for kind in (True, False))
        return done.status, refused, noted
