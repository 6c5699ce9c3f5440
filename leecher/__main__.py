"""Run the leecher as `python -m leecher`."""

from leecher.machine import lean_start  # noqa: F401 - must come first

# isort: split
from leecher.boot.start import main, process_started_s

if __name__ == "__main__":
    main(process_started_s())
