"""Plugins that are told what happens to requests."""
