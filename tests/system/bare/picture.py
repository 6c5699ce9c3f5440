"""Draws docs/stage0.svg from what test_bare_rack.py left: `python -m tests.system.bare.picture RACK_FOLDER`.

Run the test with `-m vm_all --basetemp=DIR`; the folder is `DIR/debian0/rack`. Lines are shortened, none is made up.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.support.tree import TREE
from tests.system.bare.rack import RANGE

WIDTH = 112
_SHOWN = (
    r"Configuring \(net0|Filename: |swarmboot: |/k/[0-9a-f]|Linux version|^Welcome to|MiB of .* from the origin"
    r"|login:"
)
_SOURCES = r"machine \S+ loads from"


def seeder_lines(folder: Path) -> list[str]:
    """Return what the seeder said."""
    said = (folder / "seeder.log").read_text().replace(str(folder.parent) + "/", "")
    return [f"# swarmboot serve site/ --pxe rack --dhcp-range {RANGE} --stage0-trust lan", *said.splitlines()]


def console_lines(folder: Path) -> list[str]:
    """Return the third machine's console, without what every kernel says, each line with its second."""
    lines = []
    for raw in (folder / "machine3.console").read_text(errors="replace").splitlines():
        at_s, _, said = re.sub(r"[\x00-\x1f]", "", raw).strip().partition(" ")
        if re.search(_SHOWN, said) and not re.match(r"\[ +\d+\.\d+\]", said):
            lines.append(f"{float(at_s):7.2f}  {re.sub('(?<=login:).*', '', said)}")
    return lines


def picture(folder: Path) -> str:
    """Return the picture as SVG, without fonts from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    for line in seeder_lines(folder):
        style = "bold" if line.startswith("#") else "green" if re.search(_SOURCES, line) else ""
        console.print(Text(_cut(line), style=style))
    console.print()
    console.print(Text("third machine, its console, seconds since power-on", style="bold"))
    for line in console_lines(folder):
        console.print(Text(_cut(line), style="cyan" if "swarmboot: " in line else ""))
    svg = console.export_svg(title="from bare metal to booted rack", unique_id="stage0")
    return re.sub(r"\s*@font-face \{.*?\n    \}", "", svg, flags=re.DOTALL)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


if __name__ == "__main__":
    (TREE / "docs/stage0.svg").write_text(picture(Path(sys.argv[1])))
