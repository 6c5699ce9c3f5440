"""What the seeder knows of its swarm: nodes, torrents, leases, credit. Facts go in, nothing is decided. Pure."""
