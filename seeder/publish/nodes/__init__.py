"""What a release brings for single nodes: the layers of `nodes/` and the table of hosts."""
