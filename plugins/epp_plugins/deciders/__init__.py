"""Deciders: whether a part of the work on a request is worth doing elsewhere, for `disagg-profile-handler`."""
