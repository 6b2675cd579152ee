"""Latency that is learned inside of the picker: a line through what was seen, which follows as it changes."""
