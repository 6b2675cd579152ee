"""``epp serve`` as a process: ports, health, TLS, draining, exit codes."""

import asyncio
import resource
import signal
import socket
import ssl
import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from epp._pb import external_processor_pb2 as pb
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.extproc.tls import self_signed
from tests.fakes.calls import INSECURE, destination, names, process
from tests.fakes.running import RunningPicker, running_picker
from tests.fakes.upstream import Upstream

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READINESS = ["", "readiness", "inference-extension", "envoy.service.ext_proc.v3.ExternalProcessor"]


async def health_of(picker: RunningPicker, service: str) -> int:
    async with grpc.aio.insecure_channel(f"{HOST}:{picker.ports.health}") as channel:
        answer = await HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def test_health_service_knows_the_names_that_charts_ask_for(upstreams: list[Upstream]) -> None:
    async with running_picker(names(upstreams)) as picker:
        assert [await health_of(picker, service) for service in [*READINESS, "liveness"]] == [SERVING] * 5
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(picker, "no-such-service")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_plain_text_serving_answers_without_tls(upstreams: list[Upstream]) -> None:
    async with (
        running_picker(names(upstreams), INSECURE) as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        assert await destination(process(channel)) in names(upstreams)


async def test_tls_with_the_operators_certificate(upstreams: list[Upstream], tmp_path: Path) -> None:
    key, certificate = self_signed()
    (tmp_path / "tls.key").write_bytes(key)
    (tmp_path / "tls.crt").write_bytes(certificate)
    credentials = grpc.ssl_channel_credentials(root_certificates=certificate)
    async with (
        running_picker(names(upstreams), "--cert-path", str(tmp_path)) as picker,
        grpc.aio.secure_channel(f"localhost:{picker.ports.ext_proc}", credentials) as channel,
    ):
        assert await destination(process(channel)) in names(upstreams)


async def test_tls_is_the_default_and_negotiates_http2(upstreams: list[Upstream]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    async with running_picker(names(upstreams)) as picker:
        _, writer = await asyncio.open_connection(HOST, picker.ports.ext_proc, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()


async def test_sigterm_turns_readiness_off_and_lets_streams_finish(upstreams: list[Upstream]) -> None:
    async with (
        running_picker(names(upstreams), INSECURE) as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        call = process(channel)
        await destination(call)
        picker.child.process.send_signal(signal.SIGTERM)
        await picker.event(event="draining")
        assert [await health_of(picker, service) for service in READINESS] == [NOT_SERVING] * 4
        assert await health_of(picker, "liveness") == SERVING
        await call.write(pb.ProcessingRequest(response_headers=pb.HttpHeaders()))
        assert (await call.read()).WhichOneof("response") == "response_headers"
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        assert await picker.child.process.wait() == 0


async def test_stream_that_outlasts_the_drain_is_ended_without_an_error_if_its_request_is_answered(
    upstreams: list[Upstream],
) -> None:
    """The gateway then goes on with the answer by itself; one whose request is not answered it has to fail."""
    async with (
        running_picker(names(upstreams), INSECURE, "--drain-timeout", "100ms") as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        answered, unanswered = process(channel), process(channel)
        await destination(answered)
        await unanswered.write(pb.ProcessingRequest(request_headers=pb.HttpHeaders()))
        await unanswered.write(pb.ProcessingRequest(request_body=pb.HttpBody(body=b"{")))
        await picker.wait_for_metric("epp_body_bytes_held", 1)
        picker.child.process.send_signal(signal.SIGTERM)
        assert await picker.child.process.wait() == 0
        assert await answered.code() is grpc.StatusCode.OK
        assert await unanswered.code() is not grpc.StatusCode.OK


async def test_new_streams_are_taken_while_gateways_notice_that_the_picker_is_not_ready(
    upstreams: list[Upstream],
) -> None:
    async with (
        running_picker(names(upstreams), INSECURE, "--drain-delay", "30s", "--drain-timeout", "100ms") as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        picker.child.process.send_signal(signal.SIGTERM)
        await picker.event(event="draining")
        on_the_same_port = await HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=READINESS[-1]))
        assert on_the_same_port.status == NOT_SERVING
        assert await destination(process(channel))
        picker.child.process.send_signal(signal.SIGINT)
        assert await picker.child.process.wait() == 0


async def test_message_over_the_limit_ends_its_stream_and_leaves_nothing(upstreams: list[Upstream]) -> None:
    async with (
        running_picker(names(upstreams), INSECURE, "--grpc-max-recv-msg-size", "1000") as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        call = process(channel)
        await call.write(pb.ProcessingRequest(request_headers=pb.HttpHeaders()))
        await call.write(pb.ProcessingRequest(request_body=pb.HttpBody(body=b"x" * 1001)))
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await picker.wait_for_metric("epp_streams_open", 0)


async def test_cancelled_stream_releases_what_it_held(upstreams: list[Upstream]) -> None:
    async with (
        running_picker(names(upstreams), INSECURE) as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        calls = [process(channel) for _ in range(5)]
        for call in calls:
            await destination(call)
        assert await picker.metric("epp_requests_in_flight") == 5
        for call in calls[:3]:
            call.cancel()
        for call in calls[3:]:
            await call.done_writing()
        await picker.wait_for_metric("epp_requests_in_flight", 0)
        assert await picker.metric("epp_session_errors_total") == 0


async def test_decision_table_is_in_the_log_at_debug_verbosity(upstreams: list[Upstream]) -> None:
    upstreams[0].page = "vllm:num_requests_waiting 3\nvllm:kv_cache_usage_perc 0.6\n"
    upstreams[1].page = "vllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.4\n"
    async with (
        running_picker(names(upstreams), INSECURE, "--v=4") as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        assert await destination(process(channel)) == upstreams[1].name
        event = await picker.event(event="decision")
        assert event["scores"] == [
            {
                "endpoint": f"default/{upstream.name}",
                "queue-scorer": queue,
                "kv-cache-utilization-scorer": kv_cache,
                "prefix-cache-scorer": 0.0,
                "total": total,
            }
            for upstream, queue, kv_cache, total in [(upstreams[1], 1.0, 0.6, 3.2), (upstreams[0], 0.0, 0.4, 0.8)]
        ]


@pytest.mark.parametrize("flag", ["--grpc-port", "--grpc-health-port", "--metrics-port"])
async def test_port_that_is_taken_stops_the_start_with_its_address(flag: str) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        flags = ["--grpc-port", "--grpc-health-port", "--metrics-port"]
        free = [
            arg for other, free in zip(flags, free_ports(HOST, [0, 0, 0]), strict=True) for arg in (other, str(free))
        ]
        command = [sys.executable, "-m", "epp", "serve", "--bind-address", HOST, "--endpoint", f"{HOST}:1"]
        started = await asyncio.create_subprocess_exec(
            *command, *free, flag, str(port), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await started.communicate()
    assert started.returncode == 2
    assert f"{port}" in stderr.decode()
    assert "in use" in stderr.decode()
    assert "Traceback" not in stderr.decode()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_all_interfaces_are_those_of_ipv4_and_ipv6(upstreams: list[Upstream], address: str) -> None:
    async with running_picker([upstreams[0].name], "--bind-address", "::") as picker:
        ports = picker.ports
        for port in (ports.ext_proc, ports.health, ports.metrics):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()


async def test_service_may_have_as_many_open_files_as_the_system_allows(upstreams: list[Upstream]) -> None:
    async with running_picker([upstreams[0].name]) as picker:
        assert await picker.metric("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
