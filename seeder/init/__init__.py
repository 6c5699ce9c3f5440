"""`swarmboot init`: a machine is made a server, as far as nobody need be asked."""
