"""``epp serve`` as a process: ports, health, TLS, draining, exit codes."""

import asyncio
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderMap, HeaderValue
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.extproc.tls import self_signed
from tests.fakes.running import PATIENCE_S, RunningPicker, running_picker
from tests.fakes.upstream import Upstream, running_upstreams

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
INSECURE = "--secure-serving=false"
READINESS = ["", "readiness", "inference-extension", "envoy.service.ext_proc.v3.ExternalProcessor"]


@pytest.fixture
async def upstreams() -> AsyncIterator[list[Upstream]]:
    async with running_upstreams(2) as running:
        yield running


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


def file_config(file: Path) -> str:
    return (
        "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig, "
        f"plugins: [{{type: file-discovery, parameters: {{path: {file}, watchFile: true}}}}, {{type: queue-scorer}}], "
        "dataLayer: {discovery: {pluginRef: file-discovery}}}"
    )


async def test_service_is_ready_only_after_the_first_scrape_of_a_discovered_pool(
    upstreams: list[Upstream], tmp_path: Path
) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(f"endpoints: [{{name: slow, address: {HOST}, port: {upstreams[0].port}}}]")
    upstreams[0].page_delay_s = 0.4
    async with running_picker([], "--config-text", file_config(file)) as picker:
        assert await picker.metric("epp_endpoints_ready") == 1


async def test_pool_file_is_followed(upstreams: list[Upstream], tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"

    def write(*of: Upstream) -> None:
        entries = [f"{{name: pod-{one.port}, address: {HOST}, port: {one.port}}}" for one in of]
        file.write_text(f"endpoints: [{', '.join(entries)}]")

    write(upstreams[0])
    config = file_config(file)
    async with (
        running_picker([], INSECURE, "--config-text", config) as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        assert await destination(process(channel)) == upstreams[0].name
        file.write_text("endpoints: [")
        event = await picker.event(event="endpoints_file_broken")
        assert event["kept"] == "last good endpoints"
        assert await destination(process(channel)) == upstreams[0].name
        write(upstreams[1])
        await picker.event(event="endpoint_ready", endpoint=f"default/pod-{upstreams[1].port}")
        assert await destination(process(channel)) == upstreams[1].name


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


async def test_engines_that_publish_nothing_keep_nobody_waiting(upstreams: list[Upstream]) -> None:
    config = Path(__file__).parents[2] / "config" / "precise.yaml"
    async with running_picker([upstreams[0].name], "--config-file", str(config)) as picker:
        event = await picker.event(event="prefix_source_changed")
        assert (event["is_exact"], event["reason"]) == (False, "its events are not heard")
        assert await picker.metric("epp_prefix_is_exact") == 0
        picker.child.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            await picker.event(event="stopped")


PICKERS = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{{type: {picker}}}, {{type: header-based-testing-filter}}]
"""


async def test_configuration_file_is_followed_and_a_broken_one_refused(
    upstreams: list[Upstream], tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(PICKERS.format(picker="random-picker"))
    async with running_picker([upstreams[0].name], "--config-file", str(file)) as picker:
        file.write_text(PICKERS.format(picker="max-score-picker"))
        event = await picker.event(event="config_reloaded")
        assert (event["added"], event["removed"]) == (["max-score-picker"], ["random-picker"])
        assert await picker.metric("epp_config_is_current") == 1
        file.write_text(PICKERS.format(picker="best-picker"))
        event = await picker.event(event="config_refused")
        (problem,) = event["problems"]
        assert problem.startswith(f"--config-file {file}: plugins[0].type: plugin type `best-picker` is not installed")
        assert await picker.metric("epp_config_is_current") == 0
        file.write_text(PICKERS.format(picker="max-score-picker"))
        picker.child.process.send_signal(signal.SIGHUP)
        await picker.event(event="config_unchanged")
        assert await picker.metric("epp_config_is_current") == 1
        assert await picker.metric("epp_config_reloads_total") == 2


async def test_last_decisions_and_the_pool_are_shown(upstreams: list[Upstream]) -> None:
    async with (
        running_picker(names(upstreams), INSECURE) as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
        aiohttp.ClientSession(f"http://{HOST}:{picker.ports.metrics}") as http,
    ):
        chosen = await destination(process(channel))
        async with http.get("/debug/decisions") as response:
            (noted,) = await response.json()
        assert noted["endpoints"] == noted["profiles"][0]["picked"] == [f"default/{chosen}"]
        assert noted["profiles"][0]["weights"]["prefix-cache-scorer"] == 3
        async with http.get("/debug/decisions", params={"request_id": noted["request_id"]}) as response:
            assert await response.json() == [noted]
        for query, status in (({"request_id": "gone"}, 404), ({"limit": "many"}, 400), ({"limit": "0"}, 400)):
            async with http.get("/debug/decisions", params=query) as response:
                assert response.status == status
        async with http.get("/debug/endpoints") as response:
            shown = await response.json()
        assert {one["name"] for one in shown} == set(names(upstreams))
        assert all(one["ready"] for one in shown)
        assert {one["name"]: one["in_flight"]["requests"] for one in shown}[chosen] == 1
