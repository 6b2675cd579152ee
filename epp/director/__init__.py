"""What happens to one request between "it is complete" and "there it goes".

`Director.route` is the recipe, read top to bottom: parse, list the candidates, produce attributes, schedule, tell the
observers. `parsing` chooses the parser by path; `candidates` applies readiness and the gateway's subset hint. What
reaches the wire is not decided here: a refusal is raised as `Rejection`, and the edge translates it.
"""

from epp.director.director import ArrivedRequest, Director, RoutedRequest

__all__ = ["ArrivedRequest", "Director", "RoutedRequest"]
