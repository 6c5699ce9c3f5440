"""Decisions of a node on values alone: what to fetch, from whom, and whom to believe. Pure."""
