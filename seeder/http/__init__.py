"""What both of the seeder's HTTP listeners stand on: connections, TLS, pacing, files as responses."""
