"""A file that is not all there yet, served to the kernel: FUSE, loop devices, and their exchange for the whole file."""
