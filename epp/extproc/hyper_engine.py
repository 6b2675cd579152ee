"""Hyper's HTTP/2 engine as a picker wants it: what one gateway may take."""

from httpunk._httpunk import H2Streams

MAX_STREAMS = 30_000
"""On one connection, less than it has windows for; gateways are the operator's own, and use few connections."""
STREAM_WINDOW_BYTES = 64 * 1024
"""What a gateway may send on a stream before it is read."""
CONNECTION_WINDOW_BYTES = 2**31 - 1
"""The largest: what streams that wait for room leave unread must not keep others from being read to their end."""
MAX_FRAME_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
SEND_BUFFER_BYTES = 400 * 1024
"""What a stream may have written that is not sent yet; hyper's own."""
MAX_RESETS_OF_OURS = 1024
"""For violations of the protocol; hyper's own."""


def make_engine() -> H2Streams:
    """Return the engine of a connection that has just been made."""
    return H2Streams(
        "server",
        initial_window_size=STREAM_WINDOW_BYTES,
        connection_window=CONNECTION_WINDOW_BYTES,
        max_frame_size=MAX_FRAME_BYTES,
        max_header_list_size=MAX_HEAD_BYTES,
        max_send_buf_size=SEND_BUFFER_BYTES,
        max_concurrent_streams=MAX_STREAMS,
        max_pending_accept_reset_streams=MAX_STREAMS,
        max_local_error_reset_streams=MAX_RESETS_OF_OURS,
    )
