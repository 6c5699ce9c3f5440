"""A site on disk: read, written, signed, checked, pruned, and known to a running seeder."""
