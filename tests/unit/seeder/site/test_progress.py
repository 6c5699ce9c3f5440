"""How long work shows itself where nobody sees a bar."""

from __future__ import annotations

import io

from seeder.site.progress import PlainProgress


def test_a_file_that_is_gone_through_twice_has_one_line() -> None:
    said = io.StringIO()
    progress = PlainProgress(said, "hashed")
    for label in ("a.squashfs", "b.squashfs", "b.squashfs"):
        with progress.task(label, 4096):
            pass
    assert said.getvalue().splitlines() == ["hashed a.squashfs (4.0 KiB)", "hashed b.squashfs (4.0 KiB)"]
