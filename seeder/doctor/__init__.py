"""`swarmboot doctor`: what of this machine is in a server's way, and how to mend it."""
