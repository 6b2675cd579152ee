"""``epp demo``: everything between a client and a model server, on loopback, in one command.

`stack` starts the parts as the separate processes that they are in production: simulated model servers, the picker, a
real Envoy; and stops them in reverse. `envoy` builds Envoy's configuration, `traffic` plays clients that share prompt
beginnings, `report` prints where requests go.
"""

from epp.demo.run import run_demo
from epp.demo.stack import Stack, StackOptions

__all__ = ["Stack", "StackOptions", "run_demo"]
