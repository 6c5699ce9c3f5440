"""What people write, read strictly and written in one way: sizes and rates, addresses, TOML, a kernel command line."""
