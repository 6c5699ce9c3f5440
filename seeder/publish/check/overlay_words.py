"""What an overlay's upper folder says by extended attributes. Pure.

Follows the kernel's Documentation/filesystems/overlayfs.rst (`user.` in place of `trusted.` where it was mounted
without root) and fuse-overlayfs(1).
"""

from __future__ import annotations

_KERNELS = "trusted.overlay."
_PREFIXES = (_KERNELS, "user.overlay.", "user.fuseoverlayfs.")
_BOOKKEEPING = frozenset({"origin", "impure", "nlink", "uuid", "protattr", "upper"})
"""What overlayfs keeps for itself, of no meaning in another overlay."""
_OWNER = "user.containers.override_stat"


def overlay_word(attribute: str) -> str:
    """Return the word that an attribute's name says, as `opaque`; nothing for bookkeeping and for what is none."""
    if attribute == _OWNER:
        return attribute
    prefix = next((each for each in _PREFIXES if attribute.startswith(each)), "")
    word = attribute.removeprefix(prefix) if prefix else ""
    return "" if word in _BOOKKEEPING else word


def is_heeded(attribute: str) -> bool:
    """Return whether a node's overlay, which root mounts, does what the attribute says in a layer."""
    return attribute.startswith(_KERNELS)
