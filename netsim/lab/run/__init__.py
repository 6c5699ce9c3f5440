"""One run of a strategy in a lab: what it moves, the timed race, what was measured."""
