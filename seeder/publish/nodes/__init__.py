"""What a release brings for single nodes: the layers of `nodes/`, the table of hosts, and the image made of them."""
