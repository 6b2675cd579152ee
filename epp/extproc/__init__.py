"""The Envoy edge: the only package that knows protobuf and gRPC.

`session` is one ext_proc stream's conversation without any I/O: messages go in, events and messages come out, so every
rule of the protocol can be tested by feeding it messages. `messages` builds the answers, `headers` names them.
`grpc_server` is the thin adapter that reads, feeds, acts and writes; `health` and `tls` are what a gateway and a
kubelet expect around it.
"""
