"""What a server needs before its first release: found out, then made, each thing once and never over another."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from seeder.http.authority import CA_NAME, local_addresses, make_authority
from seeder.init import machine
from seeder.init.choice import Card, choose_card, propose_range
from seeder.publish.keys_at_hand import own_key
from seeder.serve.cli import CONFIG_FILE, serve
from seeder.serve.unit_cli import FOLDER as UNITS
from seeder.serve.unit_cli import plan_unit
from seeder.stage0.dhcp.dhcp_heard import servers_heard
from seeder.stage0.dhcp.dnsmasq import parse_pxe
from seeder.stage0.dhcp.dnsmasq_process import interface_address, range_on
from seeder.systemd.unit import NAME, unit_text
from swarmboot.config_file import config_text, read_config
from swarmboot.errors import MalformedSettingError
from swarmboot.host.files import write_whole
from swarmboot.release import key_files

STATE = Path("var/lib/swarmboot")


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """What was found out: where bare machines are and what they are given, empty for none; `notes` say what to mind.

    `folder` holds releases and the site; all is put under `root`.
    """

    pxe: str
    dhcp_range: str
    notes: tuple[str, ...]
    folder: Path
    root: Path

    def under(self, path: Path) -> Path:
        """Return where a path of the server's is."""
        return self.root / path.relative_to("/") if path.is_absolute() else self.root / path

    @property
    def values(self) -> dict[str, str]:
        """Return the options that are set."""
        given = {"site": str(self.folder / "site"), "pxe": self.pxe, "dhcp_range": self.dhcp_range}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that is there at the end: `state` is `made` or `kept`."""

    path: Path
    what: str
    state: str


def plan_first(pxe: str | None, dhcp_range: str, *, folder: Path, root: Path) -> First:
    """Return what to make; `pxe` None is found out, and so is a range that is not given.

    Raises MalformedSettingError for an interface or a range that cannot be.
    """
    known = machine.cards()
    notes: list[str] = []
    if pxe is None:
        card = choose_card(known)
        if card is None:
            notes.append("no interface has an IPv4 address for bare machines: give it one and name it, --pxe INTERFACE")
        pxe = _beside(card, notes) if card else ""
    if not pxe:
        if dhcp_range:
            raise MalformedSettingError("--dhcp-range needs --pxe", hint="say which interface to answer on")
        return First(pxe="", dhcp_range="", notes=tuple(notes), folder=folder, root=root)
    interface, is_proxy = parse_pxe(pxe)
    address = interface_address(interface)
    if dhcp_range:
        if is_proxy:
            raise MalformedSettingError("--dhcp-range and proxy exclude each other", hint="give one of them")
        range_on(interface, dhcp_range)
    elif not is_proxy:
        run = propose_range(address, machine.seen(interface))
        if run is None:
            raise MalformedSettingError(
                f"{interface} has no room for a range", expected="--dhcp-range FIRST,LAST", found=str(address.network)
            )
        dhcp_range = f"{run[0]},{run[1]}"
    return First(pxe=pxe, dhcp_range=dhcp_range, notes=tuple(notes), folder=folder, root=root)


def _beside(card: Card, notes: list[str]) -> str:
    """Return the interface, as a proxy where another server answers DHCP there; add what is to be minded."""
    try:
        others = sorted(set(servers_heard(card.name)) - set(local_addresses()))
    except OSError as error:
        notes.append(f"who answers DHCP on {card.name} cannot be heard: {error.strerror}; run it as root")
        return card.name
    if others:
        notes.append(f"{', '.join(others)} gives addresses on {card.name}, and this server says what to boot beside it")
        return f"{card.name},proxy"
    if card.is_way_out:
        notes.append(f"{card.name} is also the way out of here: whatever asks there for an address gets one from here")
    if not card.has_link:
        notes.append(f"{card.name} has no link")
    return card.name


def made_first(first: First, *, is_dry: bool) -> list[Made]:
    """Make what is not there yet, or nothing if `is_dry`; return all of it in order.

    Raises MalformedSettingError, with nothing made, for what no file of options can hold, KeyFileError for keys that
    cannot be used, OSError and its like for what cannot be written.
    """
    config_text(serve, first.values, CONFIG_FILE, "SWARMBOOT_SERVE")
    return [_made(path, what, make, first, is_dry=is_dry) for path, what, make in _things(first)]


def _made(path: Path, what: str, make: Callable[[], None], first: First, *, is_dry: bool) -> Made:
    is_there = path.exists() and not (path == first.under(CONFIG_FILE) and _is_left_to_us(path, first))
    if not is_there and not is_dry:
        make()
    return Made(path, what.partition(": ")[0] if is_there else what, "kept" if is_there else "made")


def _things(first: First) -> Iterator[tuple[Path, str, Callable[[], None]]]:
    folder, state = first.under(first.folder), first.under(Path("/") / STATE)
    keys, config = first.under(own_key().parent), first.under(CONFIG_FILE)
    yield folder, "releases and the site", lambda: folder.mkdir(parents=True, mode=0o755)
    private = keys / key_files.PRIVATE_NAME
    yield private, "the key that signs releases; keep a copy offline", lambda: _write_pair(keys)
    yield state / CA_NAME, "the authority that nodes know this server by", lambda: _discard(make_authority(state))
    yield config, f"the options of serve: {_in_words(first)}", lambda: _write_config(config, first)
    unit = first.under(Path("/") / UNITS / NAME)
    yield unit, "the service", lambda: _write_unit(unit, config)


def _by_key(first: First) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in first.values.items()}


def _in_words(first: First) -> str:
    return ", ".join(f"{key} {value}" for key, value in _by_key(first).items())


def _write_pair(folder: Path) -> None:
    key_files.write_pair(folder)


def _discard(_value: object) -> None:
    """Do nothing with what a step returns."""


def _is_left_to_us(path: Path, first: First) -> bool:
    """Return whether a file of options is the one that the package brings, in which nothing is said yet, and more is
    known now."""
    packaged = {"site": "/srv/swarmboot/site"}
    return first.values != packaged and path.read_text(errors="replace") == config_text(
        serve, packaged, CONFIG_FILE, "SWARMBOOT_SERVE"
    )


def _write_config(path: Path, first: First) -> None:
    text = config_text(serve, first.values, CONFIG_FILE, "SWARMBOOT_SERVE")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode(), mode=0o644)


def _write_unit(path: Path, config: Path) -> None:
    plan = plan_unit(("--config", str(config)), needs_site=False)
    named = {str(config): str(CONFIG_FILE), str(config.absolute()): str(CONFIG_FILE)}
    reads = tuple(each for each in plan.reads if each != config.absolute())
    plan = replace(plan, command=tuple(named.get(word, word) for word in plan.command), reads=(*reads, CONFIG_FILE))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, unit_text(plan).encode(), mode=0o644)


def notes_of_what_was_kept(first: First, steps: list[Made]) -> Iterator[str]:
    """Yield what was found out and is not in force, because a file of options was there before."""
    config = first.under(CONFIG_FILE)
    if not any(step.path == config and step.state == "kept" for step in steps):
        return
    there = read_config(serve, config)
    lacking = [
        f'{key} = "{value}"' for key, value in _by_key(first).items() if there.get(key.replace("-", "_")) != value
    ]
    if lacking:
        yield f"{CONFIG_FILE} is kept as it is, without what was found out: {', '.join(lacking)}"


def next_commands(first: First) -> list[str]:
    """Return what to type now, in order."""
    release, public = shlex.quote(str(first.folder / "release")), own_key().parent / key_files.PUBLIC_NAME
    image = shlex.quote(str(first.folder / "release/initramfs.img"))
    build = f"swarmboot hook build-initramfs --lean --kernel VERSION --out {image}"
    return [
        f"swarmboot release init {release}    # then put a kernel and a root image in it",
        f"{build} --trust {shlex.quote(str(public))} --ca /{STATE}/{CA_NAME}",
        f"swarmboot publish {release}",
        "swarmboot doctor",
        "systemctl daemon-reload && systemctl enable --now swarmboot",
    ]
