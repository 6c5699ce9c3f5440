"""Which entry of a live image's own menus is started."""

from __future__ import annotations

from seeder.live.boot_menu import default_entry, foreign_boot

_SYSLINUX = """# a comment
label live-1
  linux /live/vmlinuz1
  initrd /live/initrd1.img
  append boot=live one
LABEL live-2
  MENU DEFAULT
  KERNEL /live/vmlinuz2
  APPEND initrd=/live/initrd2.img boot=live two
label memtest
  linux /live/memtest
"""
_GRUB = """menuentry "Live system (it's \\"new\\")" --hotkey=l {
  linux /live/vmlinuz-6.1 boot=live hooks="a b" findiso=${iso_path}
  initrd /live/initrd.img-6.1
}
"""


def test_the_entry_that_is_marked_is_the_one() -> None:
    entry = default_entry({"isolinux/live.cfg": _SYSLINUX, "boot/grub/grub.cfg": _GRUB})
    assert entry is not None
    assert (entry.kernel, entry.arguments[-2:]) == ("/live/vmlinuz2", ["boot=live", "two"])


def test_without_a_mark_it_is_the_first_one() -> None:
    entry = default_entry({"isolinux/live.cfg": _SYSLINUX.replace("MENU DEFAULT", "")})
    assert entry is not None
    assert entry.kernel == "/live/vmlinuz1"


def test_grubs_quotes_are_taken_off() -> None:
    entry = default_entry({"boot/grub/grub.cfg": _GRUB})
    assert entry is not None
    assert entry.arguments == ["boot=live", "hooks=a b", "findiso=${iso_path}"]


def test_a_quote_that_does_not_end_is_no_reason_to_stop() -> None:
    entry = default_entry({"grub.cfg": "menuentry 'x {\n linux /live/vmlinuz boot=live it's\n}"})
    assert entry is not None
    assert entry.arguments == ["boot=live", "it's"]


def test_menus_without_a_live_entry_have_none() -> None:
    assert default_entry({"grub.cfg": "menuentry x {\n linux /casper/vmlinuz boot=casper\n}"}) is None
    assert foreign_boot({"grub.cfg": "menuentry x {\n linux /casper/vmlinuz boot=casper\n}"}) == "boot=casper"
