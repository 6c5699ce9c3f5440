"""Which device tree a board boots with: lines `MAC [DEVICE-TREE]`, the MAC address `*` for all others. Pure.

U-Boot asks over TFTP for a file by its whole MAC address, so a pattern names one board or all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from seeder.boot_script.grammar import TftpPath
from seeder.stage0.machine_pattern import parse_machine_pattern
from swarmboot.errors import MalformedSettingError

ALL = ""
_EXPECTED = (
    "MAC or *, and a device tree below the release's dtb/, as in 52:54:00:12:34:56 rockchip/rk3399-rockpro64.dtb"
)


@dataclass(frozen=True, slots=True)
class Boards:
    """The device tree of each board by its MAC address, and of all others under `ALL`; empty for U-Boot's choice."""

    trees: dict[str, str] = field(default_factory=dict)

    def tree(self, mac: str) -> str:
        """Return the device tree for a board, `ALL` for one that is not named; nothing where U-Boot is to choose."""
        return self.trees.get(mac, self.trees.get(ALL, ""))


def parse_boards(text: str, *, where: str) -> Boards:
    """Return what a file says; raise MalformedSettingError naming `where` and the line."""
    trees: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.partition("#")[0].split()
        if not words:
            continue
        pattern = parse_machine_pattern(words[0])
        mac = ALL if words[0] == "*" else pattern.one if pattern else ""
        tree = words[1] if len(words) > 1 else ""
        is_wrong = (not mac and words[0] != "*") or len(words) > 2 or not _is_tree(tree)
        if is_wrong or mac in trees:
            what = "names a board twice" if not is_wrong else "is no line about a board"
            raise MalformedSettingError(f"{where}:{number} {what}", expected=_EXPECTED, found=repr(raw[:80]))
        trees[mac] = tree
    return Boards(trees)


def _is_tree(name: str) -> bool:
    try:
        return not name or (name.endswith(".dtb") and bool(TftpPath(name)))
    except ValueError:
        return False
