"""Settings of all tests."""

from hypothesis import settings

# No test is timed: timings vary between machines, and speed belongs in a benchmark.
settings.register_profile("all", deadline=None)
settings.load_profile("all")
