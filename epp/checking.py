"""``epp check-config``: a configuration is built as it would be to serve, and then let go."""

import random
import sys
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from epp.assembly import Surroundings, assemble_text
from epp.observability import Metrics, make_logger
from epp.scheduling import Profile


def profiles_of(text: str) -> Sequence[Profile]:
    """Return the profiles of a configuration; raises `ConfigurationError` with everything that is wrong with it."""
    surroundings = Surroundings(
        metrics=Metrics(CollectorRegistry()),
        log=make_logger(0, stream=sys.stderr),
        random=random.Random(0),  # noqa: S311 - nothing is picked
    )
    return assemble_text(text, surroundings).profiles
