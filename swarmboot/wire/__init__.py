"""Messages between nodes and the seeder, and among nodes: their fields, encoded and decoded within bounds."""
