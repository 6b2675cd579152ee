"""An Endpoint Picker: for every LLM request it names the model server that should get it.

The way of one request, and so the way to read this package:

1. `epp.extproc` speaks Envoy's ext_proc protocol. Its `Session` collects a request's headers and body.
2. `epp.director` runs the recipe: parse the body, list the candidates, let producers compute attributes, schedule.
3. `epp.scheduling` filters, scores and picks. It is synchronous and pure: no clock, no randomness but what it is given.
4. `epp.extproc` turns the decision into a header mutation and dynamic metadata.

Beside that path, `epp.datalayer` knows the endpoints and scrapes their load, `epp.assembly` builds plugins from the
configuration, and `epp.app` owns every object and the order of shutdown. `epp.plugin` is the public API: the only
package that a plugin may import.
"""

__version__ = "0.1.0"
