"""Programs that strategies run, each in a namespace of its own."""
