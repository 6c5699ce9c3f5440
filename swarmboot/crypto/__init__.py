"""Secrets and certificates: the fleet token with its proofs and seals, X.509 as swarmboot makes and reads it."""
