"""An ext_proc server that decides nothing: what a transport costs. ``python echo.py TRANSPORT PORT DESTINATION``."""

import asyncio
import sys

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderValue, HeaderValueOption
from epp.extproc.rpc import METHOD, OK, Call, Handler, Status
from epp.extproc.transport import Transport, make_server

HEADER = "x-gateway-destination-endpoint"


def routed(destination: str) -> bytes:
    """Return the answer to a request's headers."""
    answer = pb.ProcessingResponse()
    common = answer.request_headers.response
    common.clear_route_cache = True
    option = HeaderValueOption(header=HeaderValue(key=HEADER, raw_value=destination.encode()))
    common.header_mutation.set_headers.append(option)
    return answer.SerializeToString()


def make_handler(destination: str) -> Handler:
    """Return what answers a stream: the destination at the end of the body, and every piece as it came."""
    head = routed(destination)
    response_head = pb.ProcessingResponse(response_headers=pb.HeadersResponse()).SerializeToString()
    response_trailers = pb.ProcessingResponse(response_trailers=pb.TrailersResponse()).SerializeToString()

    async def handle(call: Call) -> Status:
        held: list[bytes] = []
        while (content := await call.read()) is not None:
            message = pb.ProcessingRequest.FromString(content)
            kind = message.WhichOneof("request")
            if kind == "request_headers" and message.request_headers.end_of_stream:
                await call.write([head])
            elif kind == "request_body":
                held.append(message.request_body.body)
                if message.request_body.end_of_stream:
                    await call.write([head, piece(b"".join(held), "request_body", is_last=True)])
            elif kind == "response_headers":
                await call.write([response_head])
            elif kind == "response_body":
                body = message.response_body
                await call.write([piece(body.body, "response_body", is_last=body.end_of_stream)])
            elif kind == "response_trailers":
                await call.write([response_trailers])
        return OK

    return handle


def piece(body: bytes, kind: str, *, is_last: bool) -> bytes:
    """Return the answer to a piece of a body."""
    answer = pb.ProcessingResponse()
    streamed = getattr(answer, kind).response.body_mutation.streamed_response
    streamed.body, streamed.end_of_stream = body, is_last
    return answer.SerializeToString()


async def main(transport: str, port: int, destination: str) -> None:
    """Serve until killed."""
    handler = make_handler(destination)
    server = make_server(Transport(transport), {METHOD: handler}, certificate=None, max_message_bytes=2**27)
    await server.start("127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
