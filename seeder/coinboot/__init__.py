"""Coinboot's server folder, taken over into a release directory: what it holds, and what becomes of each part."""
