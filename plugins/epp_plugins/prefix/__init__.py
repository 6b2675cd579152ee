"""The prefix index: which endpoint has seen which beginning of a prompt.

A prompt's canonical bytes are cut into blocks; `hashing` makes a chain of them, in which each hash covers all bytes
before it, so one hash names one beginning. `index` is a trie of such chains with the endpoints that have them, made of
`runs` of blocks; `shelves` has each endpoint's part of it in the order of use. `believed` has an index for each block
size and knows each endpoint's capacity; `truth` compares what it predicts with what engines report.
"""

from epp_plugins.prefix.hashing import chain
from epp_plugins.prefix.index import PrefixIndex

__all__ = ["PrefixIndex", "chain"]
