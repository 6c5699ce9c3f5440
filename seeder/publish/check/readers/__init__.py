"""Reads what a release's files hold, within bounds: archives, kernels, initramfs images. Nothing is judged."""
