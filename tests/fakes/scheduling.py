"""Parts of profiles."""

import random

from epp.scheduling import InPlay

IN_PLAY = InPlay(lambda: 0.0, random.Random(0))
"""Leaves nothing out of endpoints that were never made to warm up, or to be avoided."""
