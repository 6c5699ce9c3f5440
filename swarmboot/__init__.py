"""The ground that every part of swarmboot stands on: what all of them must agree on, and nothing else.

It imports third-party packages only, knows no part, and does no I/O beyond reading and writing the files it names.
"""

__version__ = "0.1.0"
