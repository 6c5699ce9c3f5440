"""The runtime image: Python, the leecher and all they need, in one compressed read-only file for the initramfs.

It is made of what an interpreter on this machine has: the distribution's own (its packages python3-libtorrent,
python3-trio, python3-h11, python3-msgpack and python3-cryptography) or, where the distribution lacks them, the one
that runs this, with its wheels. Modules are byte-compiled without their sources (unchecked hash, PEP 552), programs and
libraries are stripped, and a self-test in a chroot decides whether there is an image at all. Needs root for the chroot.
It will not install packages.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from seeder.hook.files import hook_folder
from seeder.hook.finished_tree import options_of, pack, read_order, run, run_in
from swarmboot.errors import PrivilegeError, ResourceError, ToolMissingError
from swarmboot.host.files import write_whole
from swarmboot.host.programs import check_installed
from swarmboot.text.units import format_size

PACKAGES = ("python3-libtorrent", "python3-trio", "python3-h11", "python3-msgpack", "python3-cryptography")
_PROGRAMS = {
    "mksquashfs": "squashfs-tools", "strip": "binutils", "ldd": "libc-bin", "unshare": "util-linux",
    "chroot": "coreutils", "ip": "iproute2",
}  # fmt: skip
"""What builds and tests an image, by the Debian package that brings it."""
_BOUND_S = 600
_OURS = ("swarmboot", "leecher")
_FOLDERS = (
    "dev",
    "proc",
    "sys",
    "run/swarmboot",
    "tmp",
    "mnt",
    "root",
    "home",
    "etc",
    "var/tmp",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
)
_LINKS = {
    "bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "../run",
    "etc/resolv.conf": "/run/swarmboot/etc/resolv.conf", "etc/hosts": "/run/swarmboot/etc/hosts",
    "etc/swarmboot": "/run/swarmboot/etc",
}  # fmt: skip
_TEXTS = {
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/passwd": "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/os-release": "ID=swarmboot-runtime\n",
}
_EXTRA_LIBRARIES = ("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
"""Opened by name at run time: by glibc for pthread_cancel and, before 2.34, for name resolution."""
_BORROWED_AT = Path("/run/swarmboot/lib")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is left out of an image and what it borrows: runtime.toml. Names, or shell patterns."""

    standard_library: frozenset[str]
    unless_loaded: frozenset[str]
    packages: frozenset[str]
    extension_modules: tuple[str, ...]
    inside_packages: frozenset[str]
    ours: frozenset[str]
    codecs: frozenset[str]
    borrowed: tuple[str, ...]

    def is_borrowed(self, library: str) -> bool:
        """Return whether the initramfs lends this library."""
        return any(fnmatchcase(library, pattern) for pattern in self.borrowed)


def read_recipe() -> Recipe:
    """Return the recipe that belongs to this version."""
    lists = {name: text.split() for name, text in tomllib.loads((hook_folder() / "runtime.toml").read_text()).items()}
    return Recipe(
        frozenset(lists["standard_library"]),
        frozenset(lists["unless_loaded"]),
        frozenset(lists["packages"]),
        tuple(lists["extension_modules"]),
        frozenset(lists["inside_packages"]),
        frozenset(lists["ours"]),
        frozenset(lists["codecs"]),
        tuple(lists["borrowed"]),
    )


@dataclass(frozen=True, slots=True)
class Source:
    """An interpreter, and where the modules that a leecher needs lie with it; `tag` names its extension modules.

    `loaded` are the names at the top of all that the leecher has loaded there.
    """

    executable: Path
    stdlib: Path
    version: str
    tag: str
    packages: dict[str, Path]
    loaded: frozenset[str]


def probe(origin: str) -> Source:
    """Return what the interpreter of an origin has (see `interpreter_of`); swarmboot itself is what runs this.

    Raises ToolMissingError if it lacks a module that the leecher needs.
    """
    interpreter, ours = interpreter_of(origin), {name: _package(name) for name in _OURS}
    with tempfile.TemporaryDirectory(prefix="swarmboot-probe.") as folder:  # these two alone, none of their neighbours
        for name, path in ours.items():
            Path(folder, name).symlink_to(path)
        command = (interpreter, "-E", "-s", "-B", "-m", "leecher.initramfs.inventory", origin)
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_BOUND_S, check=False)
        except FileNotFoundError as error:
            raise ToolMissingError(f"{interpreter} is not there", hint="install the package python3") from error
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["no message"]
        raise ToolMissingError(
            f"{interpreter} cannot run the leecher",
            found=words[-1],
            hint=f"install {' '.join(PACKAGES)}, or build with --from wheels",
        )
    found = json.loads(done.stdout)
    packages = {name: Path(path) for name, path in found["packages"].items()} | ours
    executable, stdlib, loaded = Path(found["executable"]), Path(found["stdlib"]), frozenset(found["loaded"])
    return Source(executable, stdlib, found["version"], found["tag"], packages, loaded)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent


def build_runtime(out: Path, *, origin: str, compression: str, say: Callable[[str], None]) -> None:
    """Write the runtime image to `out`, and beside it the list of the libraries that it borrows (`.libraries`).

    `origin` is "packages" or "wheels": see `interpreter_of`.

    Raises PrivilegeError if not root, ToolMissingError, or ResourceError if a step or the self-test fails.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("building the runtime needs root", hint="its self-test runs in a chroot")
    check_programs()
    for note in notes_of_what_is_missing():
        say(note)
    source, recipe = probe(origin), read_recipe()
    with tempfile.TemporaryDirectory(prefix="swarmboot-runtime.") as work:
        tree = Path(work) / "tree"
        _lay_out(tree)
        _place_python(source, tree, recipe)
        borrowed = _place_libraries(source, tree, recipe)
        for line in run_in(tree, "leecher.initramfs.selftest", borrowed).splitlines():
            say(line)
        image = Path(work) / "runtime.squashfs"
        pack(tree, image, options_of(compression), read_order(tree, borrowed))
        out.parent.mkdir(parents=True, exist_ok=True)
        libraries = "".join(f"{path}\n" for path in borrowed)
        write_whole(out.with_suffix(".libraries"), libraries.encode(), mode=0o644)
        write_whole(out, image.read_bytes(), mode=0o644)
    say(f"runtime: {out}, {format_size(out.stat().st_size)}, Python {source.version} from {source.executable}")


def notes_of_what_is_missing() -> list[str]:
    """Return what a runtime that is built on this machine is going to lack, a line each."""
    lacks_zstd = "note: zstd is not installed: nodes with this runtime cannot unpack tar.zst and cpio.zst images"
    return [] if shutil.which("zstd") else [lacks_zstd]


def check_programs() -> None:
    """Raise ToolMissingError for the programs that are missing, with the packages that bring them."""
    check_installed(_PROGRAMS)


def _lay_out(tree: Path) -> None:
    for folder in _FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for name, target in _LINKS.items():
        (tree / name).symlink_to(target)
    for name, text in _TEXTS.items():
        (tree / name).write_text(text)


def _place_python(source: Source, tree: Path, recipe: Recipe) -> None:
    """Put the interpreter where it was, and every module, compiled, into its standard library's folder."""
    executable = tree / source.executable.relative_to("/")
    executable.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.executable, executable)
    executable.chmod(0o755)
    link = tree / "usr/bin/python3"
    if not link.exists():
        link.symlink_to(source.executable)
    library = tree / source.stdlib.relative_to("/")
    library.mkdir(parents=True)
    left_out = recipe.standard_library | (recipe.unless_loaded - source.loaded)
    for path in sorted(source.stdlib.iterdir()):
        if not _is_left_out(path.stem.split(".")[0], left_out):
            _copy_modules(path, library / path.name, recipe, source.tag)
    for path in sorted((source.stdlib / "lib-dynload").glob("*.so")):
        if not path.name.startswith(recipe.extension_modules) and path.name.split(".")[0] not in left_out:
            _copy_modules(path, library / "lib-dynload" / path.name, recipe, source.tag)
    for path in (library / "encodings").iterdir():
        if path.stem not in recipe.codecs:
            path.unlink()
    whole = replace(recipe, inside_packages=recipe.ours | {"__pycache__"})  # those names are of other people's files
    for name, path in source.packages.items():
        if name in recipe.packages:
            continue
        _copy_modules(path, library / path.name, whole if name in _OURS else recipe, source.tag)
        beside = path.parent / f"{name}.libs"
        if beside.is_dir():
            shutil.copytree(beside, library / beside.name)
    compiled = (
        "import compileall, py_compile, sys; sys.exit(not compileall.compile_dir(sys.argv[1], quiet=2, legacy=True,"
    )
    compiled += " optimize=2, stripdir=sys.argv[2], invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH))"
    run(
        (str(source.executable), "-I", "-X", "no_debug_ranges", "-c", compiled, str(library), str(tree)),
        "byte-compiling",
    )
    for text in library.rglob("*.py"):
        text.unlink()


def _is_left_out(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _copy_modules(path: Path, to: Path, recipe: Recipe, tag: str) -> None:
    """Copy a module or a package: Python sources and extension modules, none of its tests, none of another Python."""
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            if not _is_left_out(inner.name, recipe.inside_packages):
                _copy_modules(inner, to / inner.name, recipe, tag)
    elif is_for(path.name, tag) and (path.suffix in (".py", ".so") or ".so." in path.name):
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def is_for(name: str, tag: str) -> bool:
    """Return whether a file is for the interpreter with this tag, as in `x.cpython-311-x86_64.so` (PEP 3149)."""
    found = re.search(r"\.(cpython-[0-9a-z]+)[.-]", name)
    return found is None or found[1] == tag


def _place_libraries(source: Source, tree: Path, recipe: Recipe) -> list[Path]:
    """Add the libraries that programs and modules link, and strip everything; return the borrowed ones."""
    zstd = shutil.which("zstd")
    if zstd:
        shutil.copy(zstd, tree / "usr/bin/zstd")
    library = tree / source.stdlib.relative_to("/")
    originals = [source.executable, *([Path(zstd)] if zstd else []), *(source.stdlib / "lib-dynload").glob("*.so")]
    kept = {path.name for path in library.rglob("*.so*")}
    originals = [path for path in originals if path.suffix != ".so" or path.name in kept]
    for name, path in source.packages.items():
        if name in recipe.packages:
            continue
        originals += path.rglob("*.so*") if path.is_dir() else [path] if path.suffix == ".so" else []
    needed = _linked(originals)
    home = next(path for name, path in needed.items() if name.startswith("libc.so")).parent
    for name in _EXTRA_LIBRARIES:
        if (home / name).exists():
            needed.setdefault(name, home / name)
    borrowed = []
    for name, path in needed.items():
        to = tree / (str(path).lstrip("/") if name.startswith("ld-") else f"{str(home).lstrip('/')}/{name}")
        if any(part.endswith(".libs") for part in path.parts):
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        if recipe.is_borrowed(name):
            to.symlink_to(_BORROWED_AT / name)
            borrowed.append(path)
        else:
            shutil.copyfile(path, to)
            to.chmod(0o755)
    provider = home / "ossl-modules/legacy.so"  # cryptography before 40 does not start without it
    if provider.exists():
        to = tree / str(provider).lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(provider, to)
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink() and _is_elf(path)]
    run(("strip", "--strip-unneeded", *map(str, files)), "stripping")
    return sorted(borrowed)


def _linked(originals: Iterable[Path]) -> dict[str, Path]:
    """Return all libraries that these link, by the name they are asked for, as ldd(1) finds them."""
    found: dict[str, Path] = {}
    for original in originals:
        for line in run(("ldd", str(original)), f"ldd {original}").splitlines():
            match = re.match(r"\s*(\S+) => (/\S+) \(|\s*(/\S+) \(", line)
            if "not found" in line:
                raise ResourceError(f"{original} lacks a library", found=line.strip(), hint="repair its package")
            if match:
                path = Path(match[2] or match[3])
                found[Path(match[1] or match[3]).name] = path
    return found


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def interpreter_of(origin: str) -> str:
    """Return the interpreter that an image is made of: the distribution's for "packages", or the one that runs this.

    Whatever runs this, "packages" are what the distribution's own has, without what pip has added to it.
    """
    return "/usr/bin/python3" if origin == "packages" else sys.executable
