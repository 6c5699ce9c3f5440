"""How much RAM a node needs: the most that its boot takes at any one time. Pure.

Follows what the node asks for before it fetches (`leecher.machine.space`) and the kernel's own bounds: an initramfs is
unpacked into a tmpfs of half of the RAM that is left (Documentation/filesystems/ramfs-rootfs-initramfs.rst) while it is
still there packed, and the images go into one of three quarters. docs/release.md has a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

OWN_BYTES = 28 << 20
"""What the kernel takes for itself, beside its image, on a machine of a few hundred MiB."""

LEECHER_BYTES = 32 << 20
"""What the leecher takes when it asks for room; what it takes to fetch comes out of what is kept free."""

_HALF, _IMAGES_SHARE = 0.5, 0.75


@dataclass(frozen=True, slots=True)
class Boot:
    """What a boot takes beside the images: kernel, initramfs packed and unpacked, the leecher's image; in bytes."""

    kernel_bytes: int
    packed_bytes: int
    unpacked_bytes: int
    runtime_bytes: int

    @property
    def fetching_bytes(self) -> int:
        """Return what is taken beside the images while they are fetched."""
        return self.kernel_bytes + OWN_BYTES + self.unpacked_bytes + self.runtime_bytes + LEECHER_BYTES

    def needed_bytes(self, images_bytes: int, unpacked_bytes: int, reserve_bytes: int) -> int:
        """Return the least RAM for images of so many bytes, which take so many more unpacked, and so many kept free."""
        unpacking = (
            self.kernel_bytes
            + self.packed_bytes
            + max(self.unpacked_bytes + OWN_BYTES, int(self.unpacked_bytes / _HALF))
        )
        fetching = self.fetching_bytes + images_bytes + unpacked_bytes + reserve_bytes
        holding = self.kernel_bytes + int((images_bytes + self.runtime_bytes) / _IMAGES_SHARE)
        return max(unpacking, fetching, holding)
