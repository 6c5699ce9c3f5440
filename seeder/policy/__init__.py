"""Decisions of the seeder on values alone: who is in the swarm, who fetches what, who may load stage 0. Pure."""
