"""`release.toml`: a release's name, kernel arguments and profiles, every key checked. It reads no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmboot.errors import MalformedSettingError, ReleaseError
from swarmboot.release.manifest import Profile
from swarmboot.release.node_overlay import VALUES, is_host_name
from swarmboot.release.storage import Storage, StorageError, storage_of
from swarmboot.setting_values import parse_zram
from swarmboot.text.spelling import did_you_mean
from swarmboot.text.template import TemplateError, filled_in, names_in
from swarmboot.text.toml import TomlError, parse_toml

_STORAGE = ("storage", "storage_at", "storage_type", "storage_options", "storage_missing")
_TOP = frozenset({"name", "cmdline", "allow", "profiles", "lazy", "zram", "hostname", *_STORAGE})
_PROFILE = frozenset({"name", "macs", "dmi", "plugins", "env", "secret_env", "cmdline", "lazy", "zram"})
_SECRET = frozenset({"secret_env"})
_MAC = re.compile(r"(?=.{1,17}\Z)[0-9a-f*?]{1,2}(:[0-9a-f*?]{1,2}){0,5}\Z")
_PROFILE_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*profiles[ \t]*\]\]", re.MULTILINE)
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_DMI = re.compile(r"[a-z0-9_]{1,64}\Z")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    """What a release.toml says; the defaults stand for a release without one. `secret_env` is by profile's name;
    `hostname` is a template of `swarmboot.text.template`.
    """

    name: str = ""
    cmdline: str = ""
    allow: tuple[str, ...] = ()
    profiles: tuple[Profile, ...] = field(default=())
    secret_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    hostname: str = ""
    storage: Storage | None = None


class _Table:
    """One table of the file, its values taken by name with the type each must have."""

    def __init__(self, value: Any, *, known: frozenset[str], path: str, source: _Source) -> None:
        if not isinstance(value, dict):
            raise source.refuse("", "is not a table", table=path)
        self._value, self._path, self._source = value, path, source
        for key in value:
            if key not in known:
                expected, hint = f"one of {', '.join(sorted(known))}", did_you_mean(key, sorted(known))
                raise source.refuse(key, "is no key", table=path, expected=expected, hint=hint)

    def refuse(self, key: str, expected: str) -> ReleaseError:
        """Return the error for a value of the wrong kind."""
        found = repr(self._value[key]) if key in self._value else "nothing"
        found = "" if key in _SECRET else found
        return self._source.refuse(key, "has the wrong value", table=self._path, expected=expected, found=found)

    def has(self, key: str) -> bool:
        """Return whether the key is there."""
        return key in self._value

    def text(self, key: str, *, most: int = 256) -> str:
        """Return a string on one line; a missing one is empty."""
        value = self._value.get(key, "")
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            raise self.refuse(key, f"text on one line, at most {most} characters")
        return value

    def truth(self, key: str) -> bool | None:
        """Return true or false; None for a missing one."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; a missing one is empty."""
        value = self._value.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refuse(key, "a list of texts")
        return tuple(value)

    def text_map(self, key: str, *, pattern: re.Pattern[str], kind: str) -> dict[str, str]:
        """Return a table of strings whose names fit `pattern`; a missing one is empty."""
        value = self._value.get(key, {})
        is_right = isinstance(value, dict) and all(
            pattern.match(name) and isinstance(item, str) and item.isprintable() for name, item in value.items()
        )
        if not is_right:
            raise self.refuse(key, f"a table of {kind} and texts")
        return dict(value)

    def tables(self, key: str) -> list[Any]:
        """Return an array of tables; a missing one is empty."""
        value = self._value.get(key, [])
        if not isinstance(value, list):
            raise self.refuse(key, f"tables, as in [[{key}]]")
        return value


@dataclass(frozen=True, slots=True)
class _Source:
    text: str
    where: str

    def refuse(
        self, key: str, what: str, *, table: str, expected: str = "", found: str = "", hint: str = ""
    ) -> ReleaseError:
        """Return the error about a key of a table, with the line it stands on if that can be told."""
        number = self._line(key, table)
        where = f"{self.where}:{number}" if number else self.where
        name = ".".join(filter(None, (table, key)))
        return ReleaseError(f"{where}: {name} {what}", expected=expected, found=found[:80], hint=hint)

    def _line(self, key: str, table: str) -> int:
        """Return the number of the line on which the table's key stands, 0 if it is not written plainly."""
        bounds = [match.end() for match in _PROFILE_HEADER.finditer(self.text)]
        index = int(table.strip("profiles[]")) if table else 0
        if not key or index > len(bounds):
            return 0
        start, end = [0, *bounds, len(self.text)][index : index + 2]
        written = re.compile(
            rf"^(?:[^\w#\n]*|[ \t]*\[[ \t]*profiles\.){re.escape(key)}[\"']?[ \t]*[=\].]", re.MULTILINE
        )
        match = written.search(self.text, start, end)
        return self.text.count("\n", 0, match.end()) + 1 if match else 0


def parse_release_toml(text: str, *, where: str) -> ReleaseSettings:
    """Return the settings in a release.toml; raise ReleaseError naming `where`, the key and its line."""
    try:
        value = parse_toml(text)
    except TomlError as error:
        raise ReleaseError(f"{where} is no TOML", found=str(error), hint="see docs/release.md") from error
    source = _Source(text, where)
    top = _Table(value, known=_TOP, path="", source=source)
    numbered = list(enumerate(top.tables("profiles"), start=1))
    profiles = tuple(_profile(item, number, source) for number, item in numbered)
    secrets = {profile.name: _secret_env(*each, source) for profile, each in zip(profiles, numbered, strict=True)}
    names = [profile.name for profile in profiles]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReleaseError(f"{where}: two profiles are named {twice[0]}", hint="give each a name of its own")
    allow = top.texts("allow")
    if not all(_WORD.match(word) for word in allow) or len(allow) > 16:
        raise top.refuse("allow", "at most 16 lower-case words")
    return ReleaseSettings(
        top.text("name"),
        _cmdline(top),
        allow,
        profiles,
        {name: env for name, env in secrets.items() if env},
        _hostname(top),
        _storage(top),
    )


def _storage(table: _Table) -> Storage | None:
    """Return what outlives a boot, None without any."""
    words = [table.text(key, most=512) for key in _STORAGE]
    if not words[0]:
        if any(words):
            raise table.refuse("storage", "what to mount, as in LABEL=data, beside the other words about it")
        return None
    try:
        return storage_of(*words)
    except StorageError as error:
        raise table.refuse(error.key, error.expected) from error


def _hostname(table: _Table) -> str:
    """Return the template of host names; one that no name could be made of is refused."""
    text = table.text("hostname")
    try:
        names = names_in(text, set(VALUES) - {"hostname"})
    except TemplateError as error:
        raise table.refuse("hostname", f"text and names of values; {error}") from error
    trial = filled_in(text, dict.fromkeys(names, "0")).lower()
    if text and ("mac" in names or not is_host_name(trial)):
        raise table.refuse("hostname", 'letters, digits, dashes and values, as in "node-{mac_dashes}"')
    return text


def _cmdline(table: _Table) -> str:
    """Return the kernel arguments, and those that `lazy` and `zram` stand for after them, so that they count."""
    is_lazy = table.truth("lazy")
    word = "" if is_lazy is None else f"swarmboot.lazy={'on' if is_lazy else 'off'}"
    return " ".join(filter(None, (table.text("cmdline", most=4096), word, _zram(table))))


def _zram(table: _Table) -> str:
    """Return the kernel argument for compressed swap; nothing where nothing is said of it."""
    if not table.has("zram"):
        return ""
    text = table.text("zram")
    try:
        return f"swarmboot.zram={parse_zram(text) or 'off'}"
    except MalformedSettingError as error:
        raise table.refuse("zram", error.expected) from error


def _secret_env(number: int, value: Any, source: _Source) -> dict[str, str]:
    table = _Table(value, known=_PROFILE, path=f"profiles[{number}]", source=source)
    return table.text_map("secret_env", pattern=_KEY, kind="KEYs")


def _profile(value: Any, number: int, source: _Source) -> Profile:
    table = _Table(value, known=_PROFILE, path=f"profiles[{number}]", source=source)
    if not _WORD.match(table.text("name")):
        raise table.refuse("name", "a lower-case word")
    macs = tuple(mac.lower().replace("-", ":") for mac in table.texts("macs"))
    if not all(_MAC.match(mac) for mac in macs):
        raise table.refuse("macs", 'MAC addresses, as in "52:54:00:12:34:56" or "52:54:00:*"')
    return Profile(
        name=table.text("name"),
        macs=macs,
        dmi=table.text_map("dmi", pattern=_DMI, kind="file names under /sys/class/dmi/id"),
        plugins=table.texts("plugins") if table.has("plugins") else None,
        env=table.text_map("env", pattern=_KEY, kind="KEYs"),
        cmdline=_cmdline(table),
    )


def check_plugins(profiles: tuple[Profile, ...], plugins: Mapping[str, object], *, where: str) -> None:
    """Raise ReleaseError if a profile names a plugin that the release does not hold."""
    for profile in profiles:
        unknown = sorted(set(profile.plugins or ()) - set(plugins))
        if unknown:
            raise ReleaseError(
                f"{where}: profile {profile.name} names a plugin that is not there",
                expected=f"one of {', '.join(plugins) or 'none'}",
                found=unknown[0],
                hint=did_you_mean(unknown[0], plugins, otherwise="correct the name, or add the file to plugins/"),
            )
