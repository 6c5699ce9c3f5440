"""The leecher inside an initramfs: fetch, unpack a root, and what its runtime image must hold."""
