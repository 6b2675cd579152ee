"""What happens to one request between "it is complete" and "it is over".

`Director.route` is the recipe, read top to bottom: parse, list the candidates, produce attributes, schedule, tell the
observers. `parsing` chooses the parser by path; `candidates` applies readiness and the gateway's subset hint. The
`RoutedRequest` that comes out stays with the request until its stream ends: it reads the answer as far as the gateway
shows it (`usage`) and names the model back where it was rewritten (`rewrite`). `json_bytes` finds and changes things in
JSON without decoding it. What reaches the wire is not decided here: a refusal is raised as `Rejection`, and the edge
translates it.
"""

from epp.director.arrived import NO_CONTROLS, ArrivedRequest, Controls
from epp.director.director import Director
from epp.director.routed import Reporting, RoutedRequest

__all__ = ["NO_CONTROLS", "ArrivedRequest", "Controls", "Director", "Reporting", "RoutedRequest"]
