"""An initramfs as a file: read, judged by what is in it, and written again without what a network boot never needs."""
