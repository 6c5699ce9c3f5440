"""Reads a list of cards (`choice.cards_named`) from a file; which modules it names is known beside a kernel only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seeder.initramfs.choice import card_lines
from swarmboot.errors import MalformedSettingError
from swarmboot.text.units import format_size

_MAX_BYTES = 1 << 20
_EXPECTED = "a list of cards, as docs/boot.md has it"


@dataclass(frozen=True, slots=True)
class CardList:
    """A list of cards as somebody has written it; `label` is its name for a person."""

    label: str
    text: str


def read_card_list(path: Path) -> CardList:
    """Return the list in a file; raise MalformedSettingError for one that is no file, is no text or names nothing."""
    label = f"--nics {path}"
    if not path.is_file():
        raise MalformedSettingError(f"{label} is no file", expected=_EXPECTED)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise MalformedSettingError(f"{label} cannot be read: {error.strerror}", expected=_EXPECTED) from error
    except UnicodeDecodeError as error:
        raise MalformedSettingError(f"{label} is no text", expected=_EXPECTED, found=f"byte {error.start}") from error
    if len(data) > _MAX_BYTES:
        raise MalformedSettingError(f"{label} is too large", expected=f"at most {format_size(_MAX_BYTES)}")
    card_lines(text, label=label)
    return CardList(label, text)
