"""Parsers: request bodies to models and prompts."""
