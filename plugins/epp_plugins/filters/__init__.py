"""Plugins that remove candidates."""
