"""A runtime image goes only into an initramfs of the machine type and the distribution that it was made for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from seeder.hook import cli, install
from seeder.hook.cli import hook
from seeder.hook.fit import (
    check_fits,
    machine_of_libraries,
    machine_of_system,
)
from seeder.hook.inside import check_tree
from seeder.initramfs.links import follow
from swarmboot.errors import ResourceError, ToolMissingError


def head(number: int) -> bytes:
    """Return the head of a program: see elf(5), e_ident, e_type and e_machine."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + number.to_bytes(2, "little") + bytes(44)


AMD64, ARM64 = head(62), head(183)
LIBRARIES = {
    "x86-64": ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"],
    "arm64": ["/lib/ld-linux-aarch64.so.1", "/lib/aarch64-linux-gnu/libc.so.6"],
}


def system(root: Path, program: bytes, libraries: list[str]) -> Path:
    """Make a merged root whose shell is a link, as Debian's is, with these libraries in it."""
    (root / "usr/bin").mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"/usr/{name}")
    (root / "usr/bin/dash").write_bytes(program + bytes(100))
    (root / "usr/bin/sh").symlink_to("/bin/dash")
    for path in libraries:
        file = root / "usr" / path.lstrip("/")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(program)
    return root


@pytest.mark.parametrize("machine", ["x86-64", "arm64"])
def test_the_machine_type_of_a_runtime_is_that_of_the_loader_it_borrows(machine: str) -> None:
    assert machine_of_libraries(LIBRARIES[machine]) == machine
    assert machine_of_libraries(LIBRARIES[machine][1:]) is None


def test_a_systems_links_are_followed_within_it(tmp_path: Path) -> None:
    root = system(tmp_path / "root", ARM64, [])
    assert machine_of_system(root) == "arm64"
    (root / "etc").mkdir()
    (root / "etc/up").symlink_to("../../../usr/bin/dash")
    assert follow(root, "etc/up") == root / "usr/bin/dash"


def test_links_that_go_round_in_a_circle_are_no_program(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").symlink_to("bash")
    (root / "bin/bash").symlink_to("sh")
    assert machine_of_system(root) is None


@pytest.mark.parametrize("machine", ["x86-64", "arm64"])
def test_a_runtime_fits_the_system_that_it_was_made_on(tmp_path: Path, machine: str) -> None:
    program = {"x86-64": AMD64, "arm64": ARM64}[machine]
    root = system(tmp_path / "root", program, LIBRARIES[machine])
    check_fits(Path("runtime.squashfs"), LIBRARIES[machine], root=root)


def test_a_runtime_for_amd64_does_not_go_into_an_arm64_system_even_where_its_libraries_are(tmp_path: Path) -> None:
    root = system(tmp_path / "root", ARM64, LIBRARIES["x86-64"])
    with pytest.raises(ResourceError, match=r"another machine type.*expected arm64, found x86-64; .*--inside"):
        check_fits(Path("runtime.squashfs"), LIBRARIES["x86-64"], root=root)


def test_a_runtime_of_another_distribution_is_refused_by_the_first_library_that_is_missing(tmp_path: Path) -> None:
    root = system(tmp_path / "root", ARM64, LIBRARIES["arm64"])
    borrowed = [*LIBRARIES["arm64"], "/usr/lib/aarch64-linux-gnu/libcrypto.so.1.1"]
    with pytest.raises(ResourceError, match=r"another distribution.*libcrypto\.so\.1\.1 .*1 of 3 are missing"):
        check_fits(Path("runtime.squashfs"), borrowed, root=root)


def test_installing_a_runtime_for_another_machine_type_leaves_nothing_behind(tmp_path: Path) -> None:
    root = system(tmp_path / "root", ARM64, LIBRARIES["arm64"])
    before = sorted(root.rglob("*"))
    runtime = tmp_path / "runtime.squashfs"
    runtime.write_bytes(b"hsqs")
    runtime.with_suffix(".libraries").write_text("".join(f"{path}\n" for path in LIBRARIES["x86-64"]))
    with pytest.raises(ResourceError, match="another machine type"):
        install.install_code(root, runtime)
    assert sorted(root.rglob("*")) == before


def test_nothing_is_built_for_a_system_of_another_machine_type(tmp_path: Path, trust: Path, authority: Path) -> None:
    other, program = ("x86-64", AMD64) if machine_of_system(Path("/")) == "arm64" else ("arm64", ARM64)
    root = system(tmp_path / "root", program, LIBRARIES[other])
    before = sorted(root.rglob("*"))
    arguments = ["--root", str(root), "--trust", str(trust), "--ca", str(authority)]
    done = CliRunner().invoke(hook, ["install", "--initramfs-tools", *arguments])
    assert isinstance(done.exception, ResourceError)
    assert f"expected {other}, found" in str(done.exception)
    assert not done.output
    assert sorted(root.rglob("*")) == before


def test_a_runtime_that_turns_out_not_to_fit_is_gone_again(
    tmp_path: Path, trust: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/sh").write_bytes(Path("/bin/sh").read_bytes())
    before = sorted(root.rglob("*"))

    def build(out: Path, *, say: object) -> None:
        out.parent.mkdir(parents=True)
        out.write_bytes(b"hsqs")
        out.with_suffix(".libraries").write_text("/lib/of/another.so\n")

    monkeypatch.setattr(cli, "_build_runtime", build)  # a minute
    arguments = ["--root", str(root), "--runtime", str(root / "usr/lib/new/runtime.squashfs")]
    given = ["--trust", str(trust), "--ca", str(authority)]
    done = CliRunner().invoke(hook, ["install", "--dracut", *arguments, *given])
    assert isinstance(done.exception, ResourceError)
    assert "another distribution" in str(done.exception)
    assert sorted(root.rglob("*")) == before


def test_a_folder_that_is_no_system_is_not_built_in(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="has no /usr/bin/python3"):
        check_tree(tmp_path)
