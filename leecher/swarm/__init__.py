"""Fetching images: libtorrent, the policy's requests carried out, checksums, counters."""
