"""The Debian packages of `make deb`, as the packages' own tools see them and as they run where they are unpacked."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import swarmboot
from tests.support.tree import TREE
from tests.support.waiting import wait_for_line
from tests.system.vm.programs import PROMPT_S, run, running
from tests.system.vm.roots import write_tiny_root

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(600),  # lintian looks at each manual page
    pytest.mark.needs(
        "lintian", "busybox", "mksquashfs",
        *(f"/usr/share/doc/python3-{name}" for name in (
            "click", "rich", "h2", "wsproto", "priority", "libtorrent", "trio", "httpx", "msgpack", "cryptography",
            "prometheus-client", "numpy",
        )),
    ),
]  # fmt: skip

NAMES = ("swarmboot", "swarmboot-initramfs")
_AS_INSTALLED = """
mount -t overlay -o "lowerdir=$1/usr:/usr" packages /usr
shift
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 "$@"
"""
_HELP_OF_ALL = """
import sys
from importlib.metadata import entry_points
from swarmboot.cli import main

def show(*verb):
    print(end="\\0" + " ".join(verb) + "\\n")
    sys.argv[1:] = [*verb, "--help"]
    main()

for command in entry_points(group="swarmboot.commands"):
    show(command.name)
    for name in getattr(command.load(), "commands", ()):
        show(command.name, name)
"""
"""In one process, as each start takes longer than most verbs do to be loaded."""


@dataclass(frozen=True, slots=True)
class Built:
    """Both packages, and what is in them."""

    packages: tuple[Path, ...]
    tree: Path

    @property
    def around(self) -> tuple[str, ...]:
        """Return what to put before a command that is to find the packages installed."""
        return ("unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", _AS_INSTALLED, "sh",
                str(self.tree))  # fmt: skip

    def run(self, *command: str, folder: Path) -> str:
        """Run a command where the packages are installed and return its output."""
        return run(*self.around, *command, folder=folder)


def build(out: Path, *, umask: str) -> tuple[Path, ...]:
    run("sh", "-ec", f'umask {umask}; exec .ci/deb "$1"', "sh", str(out), folder=TREE)
    return tuple(out / f"{name}_{swarmboot.__version__}_all.deb" for name in NAMES)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    work = tmp_path_factory.mktemp("deb")
    packages = build(work / "out", umask="022")
    for package in packages:
        run("dpkg-deb", "--extract", str(package), str(work / "tree"))
    return Built(packages, work / "tree")


def test_the_same_tree_makes_the_same_bytes(built: Built, tmp_path: Path) -> None:
    again = build(tmp_path, umask="077")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built.packages]


def test_lintian_finds_no_error(built: Built) -> None:
    done = subprocess.run(
        ("lintian", "--allow-root", "--fail-on", "error", *map(str, built.packages)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert not re.search("^E:", done.stdout, flags=re.MULTILINE)
    assert "manual-page" not in done.stdout
    assert "manpage" not in done.stdout


def test_every_verb_has_its_page_and_each_shell_its_completion(built: Built) -> None:
    pages = {path.name for path in (built.tree / "usr/share/man/man1").iterdir()}
    verbs = {entry.name for entry in entry_points(group="swarmboot.commands")}
    assert {"swarmboot.1.gz", *(f"swarmboot-{verb}.1.gz" for verb in verbs)} < pages
    assert {"swarmboot-unit-install.1.gz", "swarmboot-pxe-config.1.gz"} < pages
    for place in ("bash-completion/completions/swarmboot", "zsh/vendor-completions/_swarmboot",
                  "fish/vendor_completions.d/swarmboot.fish"):  # fmt: skip
        placed = (built.tree / "usr/share" / place).read_bytes()
        assert placed == (TREE / ".ci/debian/completions" / Path(place).name).read_bytes()


def test_the_licence_is_in_the_wheel_and_named_by_both_packages(built: Built) -> None:
    licence = (TREE / "LICENSE").read_bytes()
    assert licence == Path("/usr/share/common-licenses/Apache-2.0").read_bytes()
    (info,) = (built.tree / "usr/lib/python3/dist-packages").glob("swarmboot-*.dist-info")
    assert (info / "licenses/LICENSE").read_bytes() == licence
    assert "\nLicense-Expression: Apache-2.0\n" in (info / "METADATA").read_text()
    for name in NAMES:
        said = (built.tree / "usr/share/doc" / name / "copyright").read_text()
        assert "\nFiles: *\nCopyright: 2026, the authors of swarmboot\nLicense: Apache-2.0\n" in said
        assert "/usr/share/common-licenses/Apache-2.0" in said


def test_a_package_holds_readable_files_of_root_and_nothing_compiled(built: Built) -> None:
    for package in built.packages:
        for line in run("dpkg-deb", "--contents", str(package)).splitlines():
            mode, owner, *_, name = line.split()
            assert owner == "root/root", line
            assert mode[1:] in ("rwxr-xr-x", "rw-r--r--"), line
            assert not name.endswith((".pyc", "__pycache__/")), line


def test_the_service_is_there_for_a_site_at_its_usual_place_with_its_options_in_a_file_of_the_operators(
    built: Built, tmp_path: Path
) -> None:
    unit = (built.tree / "usr/lib/systemd/system/swarmboot.service").read_text()
    assert "\nExecStart=/usr/bin/python3 -I -m swarmboot serve --config /etc/swarmboot/serve.toml\n" in unit
    assert [path.name for path in (built.tree / "etc").rglob("*") if path.is_file()] == ["serve.toml"]
    assert run("dpkg-deb", "--info", str(built.packages[0]), "conffiles") == "/etc/swarmboot/serve.toml\n"
    text = (built.tree / "etc/swarmboot/serve.toml").read_text()
    assert tomllib.loads(text) == {"site": "/srv/swarmboot/site"}
    options = ("/srv/swarmboot/site", "--config", "/dev/null", "--print-config")
    assert built.run("swarmboot", "serve", *options, folder=tmp_path) == text


def test_a_release_is_published_served_and_fetched_by_what_is_installed(built: Built, tmp_path: Path) -> None:
    for name in ("release", "root"):
        (tmp_path / name).mkdir()
    write_tiny_root(tmp_path / "release/rootfs.squashfs", work=tmp_path / "root", padding_bytes=300_000)
    assert swarmboot.__version__ in built.run("swarmboot", "--version", folder=tmp_path)
    built.run("python3", "-I", "-m", "swarmboot", "keygen", "--out", "keys", folder=tmp_path)
    built.run("swarmboot", "publish", "release", "--key", "keys/swarmboot.key", folder=tmp_path)
    built.run("swarmboot", "ca", "--state", "state", "--out", "ca.pem", folder=tmp_path)
    log = tmp_path / "log"
    command = ("swarmboot", "serve", f"{tmp_path}/site", "--listen", "127.0.0.1:0", "--uplink", "1gbit",
               "--state", f"{tmp_path}/state")  # fmt: skip
    with running(*built.around, *command, log=log):
        address = re.search(r"127\.0\.0\.1:[1-9][0-9]*", wait_for_line(log, "listening on", within_s=PROMPT_S))
        assert address is not None
        built.run(
            "swarmboot", "fetch", "--server", f"https://{address[0]}", "--ca", "ca.pem", "--trust",
            "keys/swarmboot.pub", "--into", "images", "--no-discovery", folder=tmp_path,
        )  # fmt: skip
    assert (tmp_path / "images/rootfs.squashfs").read_bytes() == (tmp_path / "release/rootfs.squashfs").read_bytes()
    assert "Warning" not in log.read_text()


def test_every_verb_starts_with_the_distributions_libraries(built: Built, tmp_path: Path) -> None:
    said = built.run("python3", "-I", "-c", _HELP_OF_ALL, folder=tmp_path)
    helps = dict(each.split("\n", 1) for each in said.split("\0")[1:])
    verbs = {
        command.name: getattr(command.load(), "commands", {}) for command in entry_points(group="swarmboot.commands")
    }
    assert set(helps) == {*verbs, *(f"{verb} {name}" for verb, names in verbs.items() for name in names)}
    for verb, text in helps.items():
        assert f"Usage: swarmboot {verb}" in text, verb


def test_the_hook_is_where_its_own_installation_would_put_it(built: Built, tmp_path: Path) -> None:
    for name in ("runtime.squashfs", "runtime.libraries"):
        (tmp_path / name).write_text("a stand-in\n")
    built.run("swarmboot", "keygen", "--out", "keys", folder=tmp_path)
    built.run(
        "swarmboot", "hook", "install", "--initramfs-tools", "--dracut", "--root", "root", "--runtime",
        "runtime.squashfs", "--trust", "keys/swarmboot.pub", folder=tmp_path,
    )  # fmt: skip
    usr = tmp_path / "root/usr"
    placed = {path.relative_to(usr) for path in usr.rglob("*") if path.is_file() and path.stem != "runtime"}
    assert len(placed) >= 10
    for path in placed:
        assert (built.tree / "usr" / path).read_bytes() == (usr / path).read_bytes()
        assert (built.tree / "usr" / path).stat().st_mode == (usr / path).stat().st_mode


def test_an_initramfs_is_built_without_swarmboot_until_it_is_set_up(built: Built, tmp_path: Path) -> None:
    hook = "usr/share/initramfs-tools/hooks/swarmboot"
    done = subprocess.run(
        (str(built.tree / hook),), capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "DESTDIR": str(tmp_path), "SWARMBOOT_CONFIG": str(tmp_path / "none")},
    )  # fmt: skip
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    assert "swarmboot hook install" in done.stderr
