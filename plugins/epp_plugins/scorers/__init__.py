"""Scorers: rate candidates 0..1."""
