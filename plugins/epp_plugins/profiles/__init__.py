"""Profile handlers: decide which profiles run."""
