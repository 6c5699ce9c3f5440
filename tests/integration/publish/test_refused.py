"""`swarmboot publish` refuses what is unfit on one line and leaves the site as it was."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seeder.site.writer import writing
from swarmboot import errors
from swarmboot.errors import SwarmbootError
from swarmboot.release import key_files
from tests.support.builders import build_release
from tests.support.commands import run, run_program
from tests.support.releases.publishing import Place, build_place, published
from tests.support.waiting import wait_until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return build_place(tmp_path)


def break_nothing_but(label: str, data: bytes | None) -> Callable[[Path], None]:
    def change(release: Path) -> None:
        (release / label).parent.mkdir(exist_ok=True)
        (release / label).unlink(missing_ok=True)
        if data is not None:
            (release / label).write_bytes(data)

    return change


def link_outside(release: Path) -> None:
    (release / "plugins" / "link.squashfs").symlink_to("/etc/passwd")


REFUSALS: list[tuple[str, Callable[[Path], None], type[SwarmbootError]]] = [
    ("no root image", break_nothing_but("rootfs.squashfs", None), errors.NoRootImageError),
    ("two root images", break_nothing_but("rootfs.tar.gz", b"x"), errors.NoRootImageError),
    ("empty", break_nothing_but("plugins/20-b.squashfs", b""), errors.UnreadableError),
    ("link out", link_outside, errors.EscapeError),
    ("bad setting", break_nothing_but("env/a.env", b"export A=1\n"), errors.ReleaseError),
    ("unknown key", break_nothing_but("release.toml", b"colour = 1\n"), errors.ReleaseError),
    ("same bytes twice", break_nothing_but("plugins/20-b.squashfs", b"hsqs"), errors.ReleaseError),
    (
        "too many settings",
        break_nothing_but("env/a.env", b"".join(b"A%d=1\n" % n for n in range(1025))),
        errors.ReleaseError,
    ),
]


@pytest.mark.parametrize("is_first", [True, False], ids=["first publish", "after another"])
@pytest.mark.parametrize(("change", "kind"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_an_unfit_release_is_refused_on_one_line_and_the_site_stays_as_it_was(
    place: Place, change: Callable[[Path], None], kind: type[SwarmbootError], is_first: bool
) -> None:
    (place.release / "plugins" / "30-c.squashfs").write_bytes(b"hsqs")
    if not is_first:
        assert place.publish().status == 0
    before = published(place.site)
    change(place.release)
    done = place.publish()
    assert done.status == kind.exit_status
    assert done.line.startswith("swarmboot: ")
    assert len([line for line in done.err.splitlines() if line.startswith("swarmboot: ")]) == 1
    served = {name: data for name, data in published(place.site).items() if name.startswith(("manifests", "channels"))}
    assert served == {name: data for name, data in before.items() if name.startswith(("manifests", "channels"))}
    assert list((place.site / ".incoming").glob("*")) == []
    assert is_first or place.verify().status == 0


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--expires", "soon"), errors.MalformedSettingError),
        (("--expires", "0s"), errors.MalformedSettingError),
        (("--piece", "100KiB"), errors.MalformedSettingError),
        (("--piece", "8KiB"), errors.MalformedSettingError),
        (("--piece", "big"), errors.MalformedSettingError),
        (("--channel", "../x"), errors.MalformedSettingError),
        (("--expires", "36501d"), errors.MalformedSettingError),
        (("--fleet", "x" * 300), errors.MalformedSettingError),
        (("--key", "/none"), errors.KeyFileError),
        (("--trust", "/none"), errors.KeyFileError),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_signed(
    place: Place, options: tuple[str, ...], kind: type[SwarmbootError]
) -> None:
    done = place.publish(*options)
    assert done.status == kind.exit_status, done.err
    assert not list(place.site.glob("manifests/*"))
    assert not list(place.site.glob("channels/*"))


def test_a_site_within_the_release_is_refused(place: Place) -> None:
    done = run("publish", "--force", place.release, "--site", place.release / "site", "--key", place.key)
    assert done.status == errors.SiteError.exit_status
    assert not (place.release / "site").exists()


def test_a_key_within_the_site_is_refused(place: Place) -> None:
    private, _ = key_files.write_pair(place.site / "keys-of-mine")
    done = run("publish", "--force", place.release, "--site", place.site, "--key", private)
    assert done.status == errors.KeyFileError.exit_status
    assert "lies in the site, which is public" in done.line


def test_a_site_that_cannot_be_made_is_refused(place: Place) -> None:
    place.site.write_text("a file")
    assert place.publish().status == errors.SiteError.exit_status
    assert place.site.read_text() == "a file"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that a user without rights can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_that_may_not_be_read_is_refused_by_name(open_folder: Path) -> None:
    release = build_release(open_folder / "release")
    (release / "rootfs.squashfs").chmod(0)
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(65534)
    try:
        done = run("publish", "--force", release, "--site", open_folder / "site")
    finally:
        os.seteuid(uid)
    assert done.status == errors.UnreadableError.exit_status
    assert "rootfs.squashfs cannot be read: Permission denied" in done.line


def test_two_publishes_at_once_are_one_and_a_refusal(place: Place) -> None:
    with writing(place.site):
        done = run_program("publish", "--force", place.release, "--site", place.site, "--key", place.key)
    assert done.status == errors.SiteBusyError.exit_status
    assert f"found process {os.getpid()}" in done.line
    assert place.publish().status == 0


def test_who_began_a_site_at_the_same_moment_and_comes_second_takes_nothing_from_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    monkeypatch.setattr("seeder.site.writer._missing", lambda path: [path])  # both looked before there was anything
    with writing(site):
        before = sorted(site.iterdir())
        with pytest.raises(errors.SiteBusyError), writing(site):
            pass
        assert sorted(site.iterdir()) == before


def test_publishes_started_together_leave_a_right_site(place: Place) -> None:
    started = [subprocess.Popen(place.words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(3)]
    said = [process.communicate(timeout=120)[1] for process in started]
    statuses = {process.returncode for process in started}
    assert 0 in statuses, said
    assert statuses <= {0, errors.SiteBusyError.exit_status}, said
    assert place.verify("--json").value["channels"][0]["sequence"] == 1


def test_a_file_that_grows_while_it_is_read_is_refused(place: Place) -> None:
    place.publish()
    root = place.release / "rootfs.squashfs"
    os.truncate(root, 256 << 20)
    with subprocess.Popen(place.words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until("a copy", lambda: any((place.site / ".incoming").iterdir()), process=process, every_s=0.001)
        with root.open("ab") as file:
            file.write(b"more")
        _, err = process.communicate(timeout=120)
    assert process.returncode == errors.ChangedError.exit_status, err
    assert "rootfs.squashfs changed while it was being read" in err
    assert list((place.site / ".incoming").iterdir()) == []
    assert place.verify("--json").value["channels"][0]["sequence"] == 1
