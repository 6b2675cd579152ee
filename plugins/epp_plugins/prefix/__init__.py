"""The prefix index: which endpoint has seen which beginning of a prompt.

A prompt's canonical bytes are cut into blocks; `hashing` makes a chain of them, in which each hash covers all bytes
before it, so one hash names one beginning. `index` keeps, for each hash, a bitmask of the endpoints that have it.
"""

from epp_plugins.prefix.hashing import chain
from epp_plugins.prefix.index import PrefixIndex

__all__ = ["PrefixIndex", "chain"]
