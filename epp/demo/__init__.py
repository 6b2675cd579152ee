"""``epp demo``: everything between a client and a model server, on loopback, in one command.

`parts` starts each part as the process that it is in production: simulated model servers, the picker, a real Envoy.
`stack` puts them together and stops them in reverse. `envoy` builds Envoy's configuration, `traffic` plays clients that
share prompt beginnings, `counters` reads what the servers found in their caches, `report` prints where requests go.
"""

from epp.demo.run import run_demo
from epp.demo.stack import StackOptions, running_stack

__all__ = ["StackOptions", "run_demo", "running_stack"]
