"""The server's side: publish a signed release as a site, serve the site, know the nodes, decide who fetches what.

It never imports the leecher or the simulator, and the part that serves never holds a signing key.
"""
