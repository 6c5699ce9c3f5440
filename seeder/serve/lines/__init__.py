"""Lines that a running seeder says, of itself and of its nodes."""
