"""The seeder as a service of systemd: its unit, and what it tells systemd of itself."""
