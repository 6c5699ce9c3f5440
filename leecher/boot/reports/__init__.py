"""What a boot tells of itself."""
