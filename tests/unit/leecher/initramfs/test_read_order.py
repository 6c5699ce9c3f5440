"""Which files a node reads, and in what order."""

from __future__ import annotations

from leecher.initramfs.read_order import in_order


def test_each_file_is_named_where_it_is_read_first() -> None:
    assert list(in_order(["/z/b", "/z/a", "/z/b"], ["/z/d", "/z/a", "/z/c"], ["/z/f", "/z/b", "/z/e"])) == [
        "/z/b", "/z/a", "/z/c", "/z/d", "/z/e", "/z/f",
    ]  # fmt: skip


def test_what_is_no_path_is_passed_over() -> None:
    assert list(in_order([None, 3, b"/z/bytes", "frozen", "built-in", "relative.pyc", "/z/a"], [], [])) == ["/z/a"]
