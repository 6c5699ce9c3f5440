"""Run the leecher as `python -m leecher`."""

from leecher import lean  # noqa: F401 - must come first

# isort: split
from leecher.cmdline import main, process_started_s

if __name__ == "__main__":
    main(process_started_s())
