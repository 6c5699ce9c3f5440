"""Talking to the seeder and other origins over HTTPS: small requests, ranges, proofs, deadlines."""
