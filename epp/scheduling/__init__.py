"""Which endpoint: (request, candidates, clock, seeded random) -> decision.

Synchronous and pure on purpose. No ``await`` stands between the first look at the endpoints' load and the pick, so
there are no locks and no copies, and the same code runs offline on a recorded request. `scheduler` asks the profile
handler which profiles to run; `profile` runs one: filters, `in_play`, then scorers, then the picker;
`explain` tells why.
"""

from epp.scheduling.in_play import InPlay, without_avoided
from epp.scheduling.profile import NamedFilter, Profile, WeightedScorer
from epp.scheduling.scheduler import Scheduler

__all__ = ["InPlay", "NamedFilter", "Profile", "Scheduler", "WeightedScorer", "without_avoided"]
