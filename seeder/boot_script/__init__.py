"""Boot scripts for iPXE and GRUB, and kernel command lines: a load in, text out. Pure."""
