"""The record of every boot: what was heard of each machine, whether it is stuck and why; in SQLite, told as JSON."""
