"""The small client: it gets a node's images from its neighbours and the seeder, and then helps the next node.

It imports the standard library, libtorrent, trio, h11, msgpack and cryptography, and nothing else, because it travels
in an initramfs; click only in `leecher.cli`.
"""
