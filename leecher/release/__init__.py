"""A release's documents: what is asked for, how neighbours are asked, and whether the answer is trusted."""
