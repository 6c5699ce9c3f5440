"""The kernel's arguments in Coinboot's own boot script, boot/coinboot.ipxe. Pure.

Its words for Coinboot's init and for its server mean nothing to a node here; a word that iPXE fills in (`${ip}`) is no
longer filled in by it.
"""

from __future__ import annotations

_OWN = ("coinboot-server=", "initrd=", "netconsole=")
_OWN_WORDS = ("zram",)


def kernel_arguments(script: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the arguments of the first `kernel` line that nodes keep, and those that they do not."""
    for line in script.splitlines():
        words = line.split()
        if words[:1] == ["kernel"]:
            dropped = [word for word in words[2:] if _is_own(word)]
            return tuple(word for word in words[2:] if word not in dropped), tuple(dropped)
    return (), ()


def _is_own(word: str) -> bool:
    return word.startswith(_OWN) or word in _OWN_WORDS or "${" in word
