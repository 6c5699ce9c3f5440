"""Writes an initramfs again without what a boot from the network never needs, and packed so that it boots soonest.

Modules, firmware and the lists of modules are chosen anew (`choice`), depmod(8) is run on what stays, everything else
is kept as the generator made it. What is compressed already lies beside the compressed archive, not in it; modules are
unpacked first, so that they are compressed once. It will not build an initramfs.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path

from seeder.initramfs.card_list import CardList
from seeder.initramfs.choice import (
    also_kept,
    cards_named,
    chosen,
    firmware_asked,
    firmware_asked_by_builtin,
    is_card,
    is_spare_file,
    parse_needs,
    why_out,
)
from seeder.initramfs.compressed import decompressed
from seeder.initramfs.groups import RUNTIME, firmware_of, kernel_of, module_of, name_of
from seeder.initramfs.links import follow, found, is_file
from seeder.initramfs.tree import Unpacked, unpack, write_archive
from swarmboot.archive import Stream
from swarmboot.errors import ReleaseError, ResourceError
from swarmboot.host.files import write_whole
from swarmboot.host.programs import last_words, run_program
from swarmboot.text.units import format_size

_BOUND_S = 900
_PACKED = {".xz": "xz", ".zst": "zstd", ".gz": "gzip"}
_NOT_READ_AT_BOOT = ("modules.symbols", "modules.symbols.bin")
"""Made by depmod(8) and read by `modprobe symbol:NAME` alone."""
_OF_THE_KERNEL = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
"""Made with the kernel, and read by depmod(8)."""
_PACKERS = {
    "zstd": ("zstd", "-q", "-19", "-T0", "-c"),
    "xz": ("xz", "-q", "--check=crc32", "--lzma2=preset=6,dict=8MiB", "-T1", "-c"),
    "gzip": ("gzip", "-9", "-n", "-c"),
}
"""What the kernel can unpack (lib/decompress.c), the one that boots soonest first; higher levels gain nothing."""
_QUICK_PACKERS = {
    "zstd": ("zstd", "-q", "-6", "-T0", "-c"),
    "xz": ("xz", "-q", "--check=crc32", "--lzma2=preset=1", "-T0", "-c"),
    "gzip": ("gzip", "-6", "-n", "-c"),
}
_SOME = 12
_DEFAULTS = "etc/swarmboot/defaults"


@dataclass(frozen=True, slots=True)
class Lean:
    """What became of an initramfs: the drivers of cards that are in, how many modules beside them, what is out.

    `without_firmware` are the drivers that ask for firmware of which none is on the machine that built it.
    """

    kernel: str
    size_bytes: int
    compression: str
    cards: tuple[str, ...]
    others: tuple[str, ...]
    out: Mapping[str, tuple[str, ...]]
    without_firmware: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return it in a few lines."""
        out = ", ".join(f"{len(names)} for {word}" for word, names in self.out.items()) or "none"
        lines = [
            f"lean: {len(self.cards)} drivers of network cards: {_some(self.cards)}",
            f"lean: {len(self.others)} modules beside them: {_some(self.others)}",
            f"lean: modules left out: {out}; {format_size(self.size_bytes)} with {self.compression}",
        ]
        if self.without_firmware:
            lines.append(
                f"note: no firmware here for {_some(self.without_firmware)}: cards that need it want its package "
                "installed where the initramfs is built"
            )
        return lines

    def value(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)


def _some(names: Collection[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _SOME} more" if len(listed) > _SOME else ""
    return ", ".join(listed[:_SOME]) + more


def make_lean(
    image: Path, out: Path, *, kernel: str, config: Path, nics: CardList | None, mode: int, is_quick: bool = False
) -> Lean:
    """Write `image`, an initramfs for this kernel version, lean to `out`; `config` is what the kernel was built with.

    `nics` lists the cards whose drivers alone are to be in. If `is_quick`, it is packed less tightly. Raises
    MalformedSettingError if a line of `nics` names none, ReleaseError or ResourceError if a step fails; then nothing is
    written.
    """
    with tempfile.TemporaryDirectory(prefix="swarmboot-lean.") as work:
        unpacked = unpack(image, Path(work))
        modules = _plain_modules(unpacked, kernel)
        lists = _depmod(unpacked, kernel, modules)
        dep, soft, weak, alias = (_text(lists / f"modules.{name}") for name in ("dep", "softdep", "weakdep", "alias"))
        needs, cards = parse_needs(dep, soft + weak, alias), None
        if nics is not None:
            cards = cards_named(nics.text, alias, modules, label=nics.label)
        also = also_kept(_baked(unpacked))
        stay = chosen(modules.keys(), needs, cards=cards, also=also)
        without = _drop_firmware(unpacked, kernel, {module: unpacked.path(modules[module]) for module in stay}, lists)
        for module in modules.keys() - stay:
            unpacked.forget(modules[module])
        _list_again(unpacked, kernel, {module: modules[module] for module in stay})
        for name in [name for name in unpacked.entries if is_spare_file(name)]:
            if unpacked.entries[name].kind != "folder":
                unpacked.forget(name)
        compression = compression_for(_text(config))
        data = pack(unpacked, compression, is_quick=is_quick)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, data, mode=mode)
    dropped: dict[str, tuple[str, ...]] = {}
    for module in sorted(modules.keys() - stay):
        word = why_out(module) or "other cards"
        dropped[word] = (*dropped.get(word, ()), name_of(module))
    cards_in = tuple(sorted(name_of(module) for module in stay if is_card(module)))
    others = tuple(sorted(name_of(module) for module in stay if not is_card(module)))
    return Lean(kernel, len(data), compression, cards_in, others, dropped, without)


def compression_for(config: str) -> str:
    """Return with what to compress for a kernel that was built with this configuration, gzip if that is not known."""
    known = (kind for kind in _PACKERS if f"CONFIG_RD_{kind.upper()}=y" in config.splitlines() and shutil.which(kind))
    return next(known, "gzip")


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _baked(unpacked: Unpacked) -> str:
    """Return what the hook has baked in, as lines of name=value."""
    path = found(unpacked.tree, _DEFAULTS)
    return path.read_text(errors="replace") if path is not None and path.is_file() else ""


def _plain_modules(unpacked: Unpacked, kernel: str) -> dict[str, str]:
    """Return the entries of all modules by their place, each a file, those that were compressed unpacked.

    A link to a module becomes the module, one that leads to none is left out.
    """
    modules = {}
    names = [name for name in unpacked.entries if kernel_of(name) == kernel and unpacked.entries[name].kind != "folder"]
    paths = {name: found(unpacked.tree, name) for name in names}
    names.sort(key=lambda name: unpacked.entries[name].kind != "link")  # these first, while what they lead to is there
    for name in names:
        path, suffix = paths[name], Path(name).suffix
        plain = name.removesuffix(suffix) if suffix in _PACKED else name
        if path is None or not path.is_file():
            unpacked.forget(name)
            continue
        if path.suffix in _PACKED:
            path = _inflated(path, unpacked.folder / "module", _PACKED[path.suffix], label=name)
        if plain != name:
            unpacked.forget(name)
        if path != unpacked.path(plain):
            unpacked.put(plain, path)
        modules[module_of(plain)] = plain
    return modules


def _inflated(path: Path, to: Path, kind: str, *, label: str) -> Path:
    with path.open("rb") as file, to.open("wb") as out, decompressed(Stream(file, label), kind, label=label) as inner:
        shutil.copyfileobj(inner, out)
    return to


def _depmod(unpacked: Unpacked, kernel: str, modules: Mapping[str, str]) -> Path:
    """Return the folder of the lists that depmod(8) makes of these modules.

    It is given them in a folder of their own, without the links of the initramfs, which it would follow on this
    machine.
    """
    base = unpacked.folder / "depmod"
    shutil.rmtree(base, ignore_errors=True)
    lists = base / "lib/modules" / kernel
    lists.mkdir(parents=True)
    for module, name in modules.items():
        to = lists / f"{module}.ko"
        to.parent.mkdir(parents=True, exist_ok=True)
        to.hardlink_to(unpacked.path(name))
    for name in _OF_THE_KERNEL:
        if is_file(unpacked.tree, f"lib/modules/{kernel}/{name}"):
            shutil.copyfile(follow(unpacked.tree, f"lib/modules/{kernel}/{name}"), lists / name)
    run_program(("depmod", "-b", str(base), kernel), bound_s=_BOUND_S, failure=ResourceError)
    return lists


def _list_again(unpacked: Unpacked, kernel: str, modules: Mapping[str, str]) -> None:
    """Have depmod's lists of the modules that are left in the place of the old ones."""
    lists = _depmod(unpacked, kernel, modules)
    folder = found(unpacked.tree, f"lib/modules/{kernel}")
    if folder is None:
        raise ReleaseError(
            f"the initramfs holds no modules of kernel {kernel}", hint="look at its generator's settings"
        )
    place = str(folder.relative_to(unpacked.tree))
    for old in [name for name in unpacked.entries if name.rpartition("/")[0] == place]:
        if old.rpartition("/")[2] in _NOT_READ_AT_BOOT:
            unpacked.forget(old)
    for path in lists.glob("modules.*"):
        if path.name not in (*_NOT_READ_AT_BOOT, *_OF_THE_KERNEL):
            unpacked.put(f"{place}/{path.name}", path)


def _drop_firmware(unpacked: Unpacked, kernel: str, stay: Mapping[str, Path], lists: Path) -> tuple[str, ...]:
    """Leave out the firmware that no driver asks for; return the drivers of cards for which none is there."""
    builtin = lists / "modules.builtin.modinfo"
    asked_by = {module: firmware_asked(path.read_bytes()) for module, path in stay.items()}
    asked_by[""] = firmware_asked_by_builtin(builtin.read_bytes()) if builtin.is_file() else ()
    files = {name: firmware for name in unpacked.entries if (firmware := firmware_of(name, kernel))}
    led_to = {module: _firmware_files(unpacked, kernel, names, files) for module, names in asked_by.items()}
    kept = {name for names in led_to.values() for name in names}
    for name in files:
        if unpacked.entries[name].kind == "folder" or name in kept:
            continue
        if unpacked.entries[name].kind == "link" and _is_way_to(found(unpacked.tree, name), unpacked, kept):
            continue
        unpacked.forget(name)
    return tuple(
        sorted(name_of(each) for each, names in asked_by.items() if names and is_card(each) and not led_to[each])
    )


def _firmware_files(unpacked: Unpacked, kernel: str, asked: Collection[str], files: Mapping[str, str]) -> set[str]:
    """Return the files that these names lead to, as the kernel looks for them."""
    led_to = set()
    for name in asked:
        if "*" in name:
            led_to |= {each for each, firmware in files.items() if fnmatchcase(firmware, name)}
        for folder in (f"updates/{kernel}/", "updates/", f"{kernel}/", ""):
            for suffix in ("", ".xz", ".zst"):
                path = found(unpacked.tree, f"lib/firmware/{folder}{name}{suffix}")
                if path is not None and path.is_file():
                    led_to.add(str(path.relative_to(unpacked.tree)))
    return led_to


def _is_way_to(path: Path | None, unpacked: Unpacked, kept: Collection[str]) -> bool:
    """Return whether a link that leads to this path is one by which a file that is kept is found, or may be."""
    if path is None:
        return False
    return path.is_dir() or str(path.relative_to(unpacked.tree)) in kept


def pack(
    unpacked: Unpacked, compression: str, *, beside: Collection[str] = (RUNTIME,), is_quick: bool = False
) -> bytes:
    """Return the image: what the kernel looks for early, what is compressed already, and one compressed archive.

    In this order tools that list an initramfs see all of it. If `is_quick`, it is packed less tightly. Raises
    ResourceError if it cannot be compressed.
    """
    whole, inner = BytesIO(), BytesIO()
    if unpacked.early:
        write_archive(whole, unpacked, unpacked.early, is_early=True)
    if plain := [name for name in beside if name in unpacked.entries]:
        write_archive(whole, unpacked, plain)
    write_archive(inner, unpacked, unpacked.entries.keys() - set(plain))
    packer = (_QUICK_PACKERS if is_quick else _PACKERS)[compression]
    done = subprocess.run(packer, input=inner.getvalue(), capture_output=True, check=False, timeout=_BOUND_S)
    if done.returncode != 0:
        words = last_words(done.stderr.decode(errors="replace"))
        raise ResourceError(f"{compression} failed", expected="exit status 0", found=f"{done.returncode}: {words}")
    whole.write(done.stdout)
    return whole.getvalue()
