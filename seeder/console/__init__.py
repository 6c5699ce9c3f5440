"""What an operator asks at a terminal: `swarmboot status`, `nodes`, `why` and `history`."""
