"""Admitters: may refuse requests that can be done without, those with a priority below 0."""
