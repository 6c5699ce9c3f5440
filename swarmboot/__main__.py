"""Run the command line as `python -m swarmboot`."""

from swarmboot.cli import main

main()
