"""What engines say about their caches themselves: KV events.

vLLM publishes, over ZMQ, which blocks it has stored and removed. `events` reads the messages, `exact` is an index of
what they say, keyed by the blocks' own tokens.
"""
