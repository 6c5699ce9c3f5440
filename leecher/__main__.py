"""Run the leecher as `python -m leecher`."""

from leecher import lean

# isort: split
from leecher.cmdline import main, process_started_s

if __name__ == "__main__":
    lean.settle()
    main(process_started_s())
