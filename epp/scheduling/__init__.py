"""Which endpoint: (request, candidates, clock, seeded random) -> decision.

Synchronous and pure on purpose. No ``await`` stands between the first look at the endpoints' load and the pick, so
there are no locks and no copies, and the same code runs offline on a recorded request. `scheduler` asks the profile
handler which profiles to run; `profile` runs one: filters, then scorers, then the picker.
"""

from epp.scheduling.profile import Profile, WeightedScorer
from epp.scheduling.scheduler import Scheduler

__all__ = ["Profile", "Scheduler", "WeightedScorer"]
