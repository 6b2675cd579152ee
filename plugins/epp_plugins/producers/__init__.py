"""Producers: attributes computed before scheduling."""
