"""What monitoring systems read of a running seeder: figures for Prometheus, and the nodes that it may scrape."""
