"""``epp doctor``: what an operator would look at by hand when requests do not get to the model servers, in one go.

`examination` is the order of the checks, from the InferencePool to a request that is really sent. Each check is a
function in the module of its subject (`pool`, `access`, `picker`, `port`, `health`, `servers`, `pages`, `routes`,
`gateways`, `address`, `istio`, `journey`, `traffic`); it returns what it found, or raises why it cannot. `verdict`
makes rows of that, and skips a check that needs what another could not find out. `reading` asks the API server;
`reaching` gets pages of pods, directly inside of the cluster, through the API server's proxy outside of it. Nothing is
changed.
"""

from epp.doctor.examination import Question, examine
from epp.doctor.verdict import Report

__all__ = ["Question", "Report", "examine"]
