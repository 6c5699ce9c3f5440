"""What boots read of their images: handed in by nodes, or recorded, and written as a trace that names files."""
