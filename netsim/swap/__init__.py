"""How nodes swap pieces: sets of pieces as arrays, and one fluid for what libtorrent does in each node."""
