"""What makes a run worthless."""


class LoadError(Exception):
    """Not every request was answered well, or asked about: there is no figure."""
