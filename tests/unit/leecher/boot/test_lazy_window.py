"""A boot's lazy window where there is nothing to be read early, or no way back to another release."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio

from leecher.boot.lazy_window import STATE, LazyWindow, open_link
from leecher.initramfs import __main__ as initramfs
from leecher.lazy.link import VARIABLE, Link
from leecher.swarm.fetch_loop import FetchLoop
from swarmboot.errors import LostRootError, ResourceError, UnreachableError
from swarmboot.ids import Digest, InfoHash
from swarmboot.release.manifest import Artifact, Role
from swarmboot.settings import build_settings
from tests.support.tree import TREE


@pytest.fixture
def link() -> Iterator[Link]:
    near, far = socket.socketpair()
    with near, far:
        yield Link(near)


def build_window(
    link: Link, into: Path, images: tuple[Artifact, ...] = (), tell: Callable[[str], None] = lambda _: None
) -> LazyWindow:
    """Return the window of a boot none of whose images is mounted as it is."""
    loop = cast("FetchLoop", SimpleNamespace())
    return LazyWindow(link, loop, images, into=into, ready=lambda _: None, tell=tell)


def test_a_boot_of_images_that_are_all_unpacked_waits_for_no_device_and_says_why(link: Link, tmp_path: Path) -> None:
    said: list[str] = []
    tar = Artifact("rootfs.tar.gz", Role.ROOT, "tar.gz", 9, Digest(bytes(32)), InfoHash(bytes(32)), 16384)

    async def run() -> None:
        with trio.fail_after(5):
            window = build_window(link, tmp_path, (tar,), said.append)
            await window.run({}, trio.Event())
            await window.finish()

    trio.run(run)
    assert said == ["rootfs.tar.gz is unpacked and not mounted: it is fetched whole first, lazy or not"]
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("state", "is_in_use"),
    [("", False), ('{"devices": {}, "exchange_ms": null}', True), ('{"devices": {}, "exchange_ms": 5.0}', False)],
)
def test_another_release_is_begun_with_only_while_no_root_stands_on_this_one(
    link: Link, tmp_path: Path, state: str, is_in_use: bool
) -> None:
    if state:
        (tmp_path / STATE).write_text(state)
    window = build_window(link, tmp_path)
    if is_in_use:
        with pytest.raises(LostRootError):
            window.release_is_gone()
    else:
        window.release_is_gone()


@pytest.mark.parametrize(
    ("state", "lines", "expected"),
    [
        ("null", ["loops /dev/loop0"], LostRootError),
        ("null", ["fault other images"], LostRootError),
        ("null", ["loops /dev/loop0", "fault no exchange"], ResourceError),
        ("5.0", ["loops /dev/loop0"], ResourceError),
    ],
    ids=["a server that ends", "one that has another release", "an exchange that fails", "one that ends too early"],
)
def test_a_root_is_lost_only_where_nobody_can_read_the_rest_of_it(
    tmp_path: Path, state: str, lines: list[str], expected: type[ResourceError]
) -> None:
    (tmp_path / STATE).write_text(f'{{"devices": {{}}, "exchange_ms": {state}}}')
    near, far = socket.socketpair()
    found: list[type[ResourceError]] = []

    def check() -> None:
        try:
            window._check()
        except ResourceError as error:
            found.append(type(error))

    with near:
        window = build_window(Link(near), tmp_path)
        far.sendall("".join(f"{line}\n" for line in lines).encode())
        far.close()
        window._hear(check)
    assert found[0] is expected


def test_a_process_has_one_window_and_what_it_begins_afterwards_has_none() -> None:
    near, far = socket.socketpair()
    with far:
        environment = {VARIABLE: str(near.detach())}
        link = open_link(environment)
        assert link is not None
        assert open_link(environment) is None
        link.close()


def test_a_network_fault_is_retried_by_another_process_once_a_root_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def boot(options: object) -> None:
        tries.append(options)
        raise UnreachableError("nobody there")

    monkeypatch.setattr(initramfs, "boot", boot)
    with pytest.raises(UnreachableError):
        initramfs._boot(build_settings({}), 0.0, lambda *_: None, may_retry=lambda: False)
    assert len(tries) == 1


_MARKED = """
from leecher.initramfs.__main__ import outlive_the_initramfs
from swarmboot.settings import build_settings
outlive_the_initramfs(build_settings({"lazy": "on"}))
print(open("/proc/self/cmdline").read()[0])
"""


@pytest.mark.parametrize(("environment", "first"), [({VARIABLE: "9"}, "@"), ({}, sys.executable[0])])
def test_systemd_leaves_a_leecher_below_a_server_of_reads_alone(environment: dict[str, str], first: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MARKED], capture_output=True, text=True, timeout=20, check=True, cwd=TREE,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.stdout == f"{first}\n"
