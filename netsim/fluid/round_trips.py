"""Round trips before a byte that is asked for comes, for the simulator and for what is compared with it."""

HANDSHAKES = 3
"""Before a new HTTPS connection's first byte: TCP (RFC 9293), TLS 1.3 (RFC 8446), the request."""

MANIFEST_ROUNDS = HANDSHAKES + 3
"""For channel, manifest and torrent over one new connection."""
