"""Measured claims: each is one command, `python -m benchmarks P1`."""
