"""What a live image holds, by the names in its medium."""

from __future__ import annotations

import pytest

from seeder.live.image import find_image
from swarmboot.errors import NoRootImageError, ReleaseError

_MENU = "label a\nlinux /live/vmlinuz\nappend boot=live components"


def find(*names: str, **texts: str) -> tuple[str, tuple[str, ...]]:
    """Return kernel and images."""
    image = find_image(
        dict.fromkeys(names, 1), {name.replace("__", "/"): text for name, text in texts.items()}, label="x"
    )
    return image.kernel, image.images


@pytest.mark.parametrize(
    ("root", "kernel"),
    [
        ("debian-live/live/filesystem.squashfs", "tftpboot/live/vmlinuz"),
        ("binary/live/filesystem.squashfs", "tftpboot/live/vmlinuz"),
        ("live/filesystem.squashfs", "live/vmlinuz-6.1"),
        ("filesystem.squashfs", "vmlinuz-6.1"),
    ],
)
def test_kernel_and_root_are_found_where_live_build_puts_them(root: str, kernel: str) -> None:
    assert find(root, kernel) == (kernel, (root,))


def test_images_are_stacked_by_name_as_live_boot_does() -> None:
    names = ("live/vmlinuz", "live/b.squashfs", "live/B.squashfs", "live/a.squashfs")
    assert find(*names)[1] == ("live/B.squashfs", "live/a.squashfs", "live/b.squashfs")


def test_a_module_file_says_which_images_and_in_which_order() -> None:
    image = find_image(
        dict.fromkeys(("live/vmlinuz", "live/b.squashfs", "live/a.squashfs", "live/c.squashfs"), 1),
        {"live/own.module": "b.squashfs a.squashfs", "live.cfg": f"{_MENU} module=own"}, label="x",
    )  # fmt: skip
    assert image.images == ("live/b.squashfs", "live/a.squashfs")


def test_another_folder_on_the_medium_is_the_one_that_the_menu_names() -> None:
    image = find_image(
        dict.fromkeys(("boot/vmlinuz", "live/full/full.squashfs"), 1),
        {"grub.cfg": "menuentry x {\nlinux /boot/vmlinuz boot=live live-media-path=/live/full/\n}"}, label="x",
    )  # fmt: skip
    assert (image.kernel, image.images) == ("boot/vmlinuz", ("live/full/full.squashfs",))


def test_two_live_images_are_not_guessed_between() -> None:
    with pytest.raises(ReleaseError, match=r"more than one live image.*a/live/, b/live/"):
        find("a/live/filesystem.squashfs", "b/live/filesystem.squashfs", "a/live/vmlinuz")


@pytest.mark.parametrize("name", ["live/filesystem.ext4", "live/filesystem.dir"])
def test_an_image_that_is_no_squashfs_is_refused(name: str) -> None:
    with pytest.raises(ReleaseError, match=r"no squashfs.*--chroot-filesystem squashfs"):
        find("live/vmlinuz", name)


def test_an_image_that_a_module_file_lists_and_that_is_not_there_is_named() -> None:
    with pytest.raises(NoRootImageError, match=r"live/b.squashfs, as live/filesystem.module says"):
        find_image(
            {"live/vmlinuz": 1, "live/a.squashfs": 1}, {"live/filesystem.module": "a.squashfs b.squashfs"}, label="x"
        )


def test_what_is_left_is_told_by_folder_and_reason() -> None:
    names = ("live/vmlinuz", "live/filesystem.squashfs", "isolinux/a.c32", "isolinux/b.c32", "pool/x.deb", "live/odd")
    image = find_image(dict.fromkeys(names, 1), {}, label="x")
    assert [line.split(": ")[0] for line in image.lost] == ["isolinux/", "live/odd", "pool/"]
