"""This machine: addresses, clock, memory and disk, identity, console."""
