"""What engines say about their caches themselves: KV events.

`subscriptions` keeps a `subscriber` for each endpoint, which listens over ZMQ. `stream` puts its numbered messages in
order and says how much of them was heard, `events` reads them. `exact` is the index of what they say, and of what
requests on their way will bring, keyed by the blocks' own tokens; `tokenized` is a request's side of it.
"""
