"""The rack that a lab builds: its plan, its names and links, namespaces, and processes within them."""
