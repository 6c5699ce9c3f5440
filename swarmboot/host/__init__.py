"""What the machine below does for a program: files written whole, programs run to their end, a user's own folders."""
