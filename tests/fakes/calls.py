"""Streams of a gateway at a picker that runs as a process."""

from collections.abc import Sequence

import grpc
import grpc.aio

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderMap, HeaderValue
from tests.fakes.upstream import Upstream

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
INSECURE = "--secure-serving=false"


def names(upstreams: Sequence[Upstream]) -> list[str]:
    return [upstream.name for upstream in upstreams]


def process(channel: grpc.aio.Channel) -> grpc.aio.StreamStreamCall:
    method = channel.stream_stream(
        METHOD,
        request_serializer=pb.ProcessingRequest.SerializeToString,
        response_deserializer=pb.ProcessingResponse.FromString,
    )
    return method()


def get_models() -> pb.ProcessingRequest:
    head = {":method": b"GET", ":path": b"/v1/models"}
    headers = HeaderMap(headers=[HeaderValue(key=name, raw_value=value) for name, value in head.items()])
    return pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=headers, end_of_stream=True))


async def destination(call: grpc.aio.StreamStreamCall) -> str:
    await call.write(get_models())
    answer = await call.read()
    return str(answer.dynamic_metadata["envoy.lb"]["x-gateway-destination-endpoint"])
