"""What boot scripts are made of: values of a narrow grammar, each quoted for its language, in templates that are ours.

The only place where a value becomes part of a script. A template is a literal in `seeder.boot_script.ipxe`; what is
filled in is a `Value`, and no `Value` can hold a line break, a quote, a variable or an operator of either language:

iPXE (src/core/exec.c, src/image/script.c) has no quotes. A line is split at white space; a token that is `||`, `&&` or
`;` ends a command, one that begins with `#` the line; `${...}` is replaced; a backslash at the end joins two lines.

GRUB (manual, section 6.1 "Quoting") takes everything in single quotes as it is, and has no way to write one between
them. Its `linux` command then writes a backslash before quotes and backslashes, and puts an argument with spaces into
double quotes (grub-core/lib/cmdline.c); so a word of the kernel's is given to it without its own quotes.

U-Boot (boot/pxe_utils.c) takes what stands behind a keyword up to the line's end as it is, and then replaces `${...}`
and `$(...)` in the command line (common/cli_simple.c, which knows `'` and a backslash as well).

Pure. It knows no release and no network.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

from swarmboot.errors import ReleaseError
from swarmboot.text.addresses import host_port, http_url, read_host, shown

COMMAND_LINE_MAX = 2047
"""What the kernel takes (COMMAND_LINE_SIZE of x86 and arm64, less the zero); loaders silently cut off the rest."""

NAME_MAX = 128
_SAID_MAX = 300
_UNSAYABLE = re.compile(r"[^A-Za-z0-9 ._+:,/@()\[\]=~!?%*-]")
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_PATH = re.compile(r"(?:/[A-Za-z0-9._-]+)+\Z")
_MAC = re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\Z")
_WORD = re.compile(r"""(?:[^\s"]+|[^\s"=]+="[^"]*"|"[^"]+")\Z""")
_WORDS = re.compile(r'(?:[^\s"]|"[^"]*(?:"|\Z))+')  # as the kernel splits them, next_arg() in lib/cmdline.c
_HOLE = re.compile(r"<([a-z_]+)>")
_PRINTABLE = re.compile(r"[ -~]*\Z")


class Value(ABC):
    """Something that may stand in a script."""

    @property
    @abstractmethod
    def ipxe(self) -> str:
        """Return it as iPXE is to read it."""

    @property
    @abstractmethod
    def grub(self) -> str:
        """Return it as GRUB is to read it."""

    @property
    def extlinux(self) -> str:
        """Return it as U-Boot is to read it in a line of its own."""
        return self.ipxe


@dataclass(frozen=True, slots=True)
class Token(Value):
    """One word of letters, digits, dots, dashes and underscores: a label, a file's name, a digest, a number."""

    text: str

    def __post_init__(self) -> None:
        """Raise ValueError for anything else."""
        _check(_TOKEN, self.text)

    @property
    def ipxe(self) -> str:
        """Return it as it is."""
        return self.text

    @property
    def grub(self) -> str:
        """Return it as it is."""
        return self.text


@dataclass(frozen=True, slots=True)
class Mac(Value):
    """A MAC address, in lower case with colons as `text`; with dashes in a script."""

    text: str

    def __post_init__(self) -> None:
        """Raise ValueError for anything else."""
        _check(_MAC, self.text)

    @property
    def ipxe(self) -> str:
        """Return it with dashes."""
        return self.text.replace(":", "-")

    @property
    def grub(self) -> str:
        """Return it with dashes."""
        return self.ipxe


@dataclass(frozen=True, slots=True)
class Source(Value):
    """An HTTP server that machines load from: an address or a host's name, and a port."""

    host: str
    port: int

    def __post_init__(self) -> None:
        """Raise ValueError for a host that is neither and a port that is none."""
        if read_host(self.host) != self.host or not 0 < self.port < 65536:
            raise ValueError("not a canonical host and a port")

    @property
    def ipxe(self) -> str:
        """Return it as in `http://10.0.0.1:8471`."""
        return http_url(self.host, self.port)

    @property
    def grub(self) -> str:
        """Return it as in `(http,10.0.0.1:8471)`; without the port where it is HTTP's own."""
        return f"(http,{shown(self.host) if self.port == 80 else host_port(self.host, self.port)})"


@dataclass(frozen=True, slots=True)
class Url(Value):
    """A file at a source, asked for by one machine, and of its menu one item if one is named."""

    source: Source
    path: str
    mac: Mac | None = None
    item: Token | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a path that is not plain names between slashes."""
        _check(_PATH, self.path)

    @property
    def _file(self) -> str:
        chosen = "" if self.item is None else f"&item={self.item.ipxe}"
        return self.path if self.mac is None else f"{self.path}?mac={self.mac.ipxe}{chosen}"

    @property
    def ipxe(self) -> str:
        """Return it as a URL."""
        return self.source.ipxe + self._file

    @property
    def grub(self) -> str:
        """Return it as a file on a device, in quotes because of `?` and brackets."""
        return f"'{self.source.grub}{self._file}'"


@dataclass(frozen=True, slots=True)
class TftpPath(Value):
    """A file or folder below a TFTP server's root: plain names between slashes."""

    text: str

    def __post_init__(self) -> None:
        """Raise ValueError for anything else, and for a way up."""
        _check(_PATH, f"/{self.text}")
        if ".." in self.text.split("/"):
            raise ValueError(f"{self.text!r} leads out of its folder")

    @property
    def ipxe(self) -> str:
        """Return it as it is."""
        return self.text

    @property
    def grub(self) -> str:
        """Return it as it is."""
        return self.text


@dataclass(frozen=True, slots=True)
class WebUrl(Value):
    """A file at a source as iPXE asks for it, also where GRUB only hands it on."""

    source: Source
    path: str

    def __post_init__(self) -> None:
        """Raise ValueError for a path that is not plain names between slashes."""
        _check(_PATH, self.path)

    @property
    def ipxe(self) -> str:
        """Return it as a URL."""
        return self.source.ipxe + self.path

    @property
    def grub(self) -> str:
        """Return it as a URL in quotes."""
        return f"'{self.ipxe}'"


@dataclass(frozen=True, slots=True)
class Said(Value):
    """Text for a person. Whatever could be more than text in either language is shown as `?`."""

    text: str

    @property
    def ipxe(self) -> str:
        """Return it with single spaces, at most 300 characters of it."""
        return " ".join(_UNSAYABLE.sub("?", " ".join(self.text.split())[:_SAID_MAX]).split())

    @property
    def grub(self) -> str:
        """Return the same: it holds no quote."""
        return self.ipxe


@dataclass(frozen=True, slots=True)
class CommandLine(Value):
    """Words for the kernel, each `text`, `name="text with spaces"` or `"text with spaces"`, in printable ASCII.

    In all of it there is no `'`, backslash or `${`, and between spaces nothing that is `||`, `&&` or `;` or begins with
    `#`. A word that is in quotes has single spaces. Raises ReleaseError for anything else.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check every word."""
        for word in self.words:
            if not _is_carried(word):
                raise ReleaseError(
                    "the kernel command line cannot be written into a boot script",
                    expected="printable ASCII without ', \\ and ${, quotes around whole values, no word that is ||, "
                    "&& or ; or begins with #",
                    found=repr(word)[:80],
                    hint="correct cmdline in release.toml and publish again",
                )

    @classmethod
    def parse(cls, text: str) -> CommandLine:
        """Return the words of a command line; raise ReleaseError as the class does."""
        return cls(tuple(_WORDS.findall(text)))

    def __str__(self) -> str:
        """Return the words with single spaces between them."""
        return " ".join(self.words)

    @property
    def ipxe(self) -> str:
        """Return the words as they are."""
        return str(self)

    @property
    def extlinux(self) -> str:
        """Return the words as they are; raise ReleaseError for `$(`, which U-Boot replaces as it does `${`."""
        if "$(" in str(self):
            raise ReleaseError(
                "U-Boot cannot carry the kernel command line", expected="no $(", found=repr(str(self))[:80],
                hint="correct cmdline in release.toml and publish again",
            )  # fmt: skip
        return str(self)

    @property
    def grub(self) -> str:
        """Return the words for `linux`, which writes the double quotes."""
        return " ".join(f"'{word.replace(chr(34), '')}'" for word in self.words)


@dataclass(frozen=True, slots=True)
class LoadOptions(Value):
    """Words for what GRUB's `chainloader` starts: it joins them with spaces and adds nothing (efi/chainloader.c)."""

    line: CommandLine

    @property
    def ipxe(self) -> str:
        """Return the words as they are."""
        return self.line.ipxe

    @property
    def grub(self) -> str:
        """Return the words with their own quotes."""
        return " ".join(f"'{part}'" for part in str(self.line).split())


@dataclass(frozen=True, slots=True)
class Line(Value):
    """A line of a script in one language, or a command that is part of one; made by `ipxe`, `grub` and `extlinux`."""

    language: str
    text: str

    def __post_init__(self) -> None:
        """Raise ValueError for what is more than one line: the last guard, which no value should ever reach."""
        _check(_PRINTABLE, self.text)

    def _of(self, language: str) -> str:
        if self.language != language:
            raise ValueError(f"a line of {self.language} in a script of {language}")
        return self.text

    @property
    def ipxe(self) -> str:
        """Return a line of iPXE."""
        return self._of("ipxe")

    @property
    def grub(self) -> str:
        """Return a line of GRUB."""
        return self._of("grub")

    @property
    def extlinux(self) -> str:
        """Return a line of U-Boot's."""
        return self._of("extlinux")


def ipxe(template: str, **values: Value) -> Line:
    """Return a line of iPXE: a template with each `<name>` filled in."""
    return Line("ipxe", _HOLE.sub(lambda hole: _value(values, hole[1]).ipxe, template))


def grub(template: str, **values: Value) -> Line:
    """Return a line of GRUB: a template with each `<name>` filled in."""
    return Line("grub", _HOLE.sub(lambda hole: _value(values, hole[1]).grub, template))


def extlinux(template: str, **values: Value) -> Line:
    """Return a line of a configuration of U-Boot's: a template with each `<name>` filled in."""
    return Line("extlinux", _HOLE.sub(lambda hole: _value(values, hole[1]).extlinux, template))


def text_of(lines: list[Line]) -> str:
    """Return the script."""
    return "".join(f"{line.text}\n" for line in lines)


def _value(values: dict[str, Value], name: str) -> Value:
    value = values[name]
    if not isinstance(value, Value):
        raise TypeError(f"{name} is {type(value).__name__}, which may not stand in a script")
    return value


def _check(pattern: re.Pattern[str], text: str) -> None:
    if not pattern.match(text):
        raise ValueError(f"{text!r} may not stand in a script")


def _is_carried(word: str) -> bool:
    """Return whether both languages can carry a word to the kernel."""
    is_plain = _WORD.match(word) and _PRINTABLE.match(word) and "'" not in word and "\\" not in word
    parts = word.split(" ")
    is_script = any(part in ("", "||", "&&", ";") or part.startswith("#") for part in parts)
    return bool(is_plain) and not is_script and "${" not in word


def is_sayable(name: str) -> bool:
    """Return whether a release's name is shown in scripts as it is: printable, no quotes, no signs of a language."""
    return 0 < len(name) <= NAME_MAX and Said(name).ipxe == name


def parse_mac(text: str) -> str:
    """Return a MAC address in lower case with colons, or nothing for anything else."""
    lower = text.strip().lower()
    return lower.replace("-", ":") if _MAC.match(lower) else ""
