"""A squashfs as a file: what is in it, where its bytes lie, and the same again in another order."""
