"""Bringing a site from another seeder: what it promises, what of that is here already, and the rest over HTTPS."""
