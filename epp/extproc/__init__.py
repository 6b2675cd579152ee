"""The Envoy edge: the only package that knows protobuf and gRPC.

`session` is one ext_proc stream's conversation without any I/O: messages go in, the complete request and the answers
come out, so every rule of the protocol can be tested by feeding it messages. The rules are in `request_phase` and
`response_phase`; `messages` builds the answers, `headers` and `metadata` read and name what gateways say.

`conversation` does a stream's reading and writing around a session; `budget` bounds what all of them hold together.
`service` holds the streams, and `hyper_server` and `grpc_server` carry them; `health` and `tls` are what a gateway and
a kubelet expect around it.
"""
