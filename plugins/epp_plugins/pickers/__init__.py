"""Pickers: choose among rated candidates."""
