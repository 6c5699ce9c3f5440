"""What is made of the facts: pure, without a socket, a path or a clock; times are Unix seconds that are handed in."""
