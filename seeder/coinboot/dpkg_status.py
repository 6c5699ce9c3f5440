"""dpkg's list of packages (deb822(5), /var/lib/dpkg/status), with what a plugin adds to it. Pure: text in, text out.

A package is known by its name and architecture, as dpkg has it: of a library that is installed for two machine types
both stay. What a plugin says of a package goes over what the root says.
"""

from __future__ import annotations

import re

from swarmboot.errors import ReleaseError

_BETWEEN = re.compile(r"\n(?:[ \t]*\n)+")
_FIELD = re.compile(r"(?im)^(package|architecture):[ \t]*(\S+)[ \t]*$")

Key = tuple[str, str]


def stanzas(text: str, *, where: str) -> dict[Key, str]:
    """Return a list's stanzas by name and architecture, in its order; raise ReleaseError for one without a name."""
    found: dict[Key, str] = {}
    for stanza in _BETWEEN.split(text.strip("\n")):
        if not stanza.strip():
            continue
        fields = {name.lower(): value for name, value in _FIELD.findall(stanza)}
        if "package" not in fields:
            raise ReleaseError(
                f"{where} is no list of packages",
                expected="stanzas with a Package: field, as in /var/lib/dpkg/status",
                found=repr(stanza[:60]),
            )
        found[fields["package"], fields.get("architecture", "")] = stanza.strip("\n")
    return found


def merge(root: str, added: dict[str, str]) -> str:
    """Return the root's list with each of `added`, texts by where they are from, over it in their order."""
    merged = stanzas(root, where="var/lib/dpkg/status of the root")
    for where, text in added.items():
        merged |= stanzas(text, where=where)
    return "".join(f"{stanza}\n\n" for stanza in merged.values())
