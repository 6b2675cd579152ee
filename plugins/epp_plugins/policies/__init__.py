"""Policies of flow control. Their parameters are checked; this picker does not let requests wait yet."""
