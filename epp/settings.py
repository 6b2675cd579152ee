"""Process settings: one frozen struct, whose fields are the flags of ``epp serve``.

The flag's name is the field's, its help the line under the field, its range the field's constraints. Names, ports and
spelling are those of the Go pickers (``--secure-serving=false``, ``--v=1``, ``30s``).
"""

import ast
import inspect
import os
import textwrap
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

MEBIBYTE = 1024 * 1024

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Size = Annotated[int, msgspec.Meta(ge=1)]
"""A number of bytes."""
Duration = Annotated[float, msgspec.Meta(ge=0.0, extra={"unit": "s"})]
"""A time in seconds, written like ``30s`` on the command line."""
Interval = Annotated[float, msgspec.Meta(ge=0.05, extra={"unit": "s"})]
"""A `Duration` between two things that are done again and again; as in the Go pickers, no shorter than 50 ms."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How this process runs. What it does with a request is in the ``EndpointPickerConfig``."""

    config_file: str | None = None
    """EndpointPickerConfig, as a YAML file."""
    config_text: str | None = None
    """EndpointPickerConfig, as YAML text."""
    endpoint: tuple[str, ...] = ()
    """A model server as HOST:PORT; repeatable. Instead of Kubernetes or a discovery plugin."""
    pool_name: str | None = None
    """InferencePool whose pods are the endpoints."""
    pool_namespace: str = ""
    """Its namespace; that of the environment variable NAMESPACE when left out, or `default`."""
    pool_group: Literal["inference.networking.k8s.io", "inference.networking.x-k8s.io"] = "inference.networking.k8s.io"
    """API group of the InferencePool: v1 of the first, v1alpha2 of the second."""
    endpoint_selector: str | None = None
    """Labels of the pods that are the endpoints, such as app=vllm,tier=gpu; instead of an InferencePool."""
    endpoint_target_ports: str = ""
    """Ports of these pods, 1 to 8 of them, such as 8000,8001; each is an endpoint."""
    disable_endpoint_subset_filter: bool = False
    """Pick from the whole pool, whatever subset the gateway names."""
    ha_enable_leader_election: bool = False
    """Of several pickers only one is ready, the holder of a Lease; the others are kept warm."""
    bind_address: str = "0.0.0.0"  # noqa: S104 - a service in a pod is reached from outside of it
    """Address that all three ports listen on."""
    grpc_port: Port = 9002
    """Port of the ext_proc service."""
    grpc_health_port: Port = 9003
    """Port of the gRPC health service."""
    metrics_port: Port = 9090
    """Port of /metrics, /healthz and /readyz."""
    transport: Literal["auto", "grpcio", "hyper"] = "auto"
    """What serves gRPC: hyper (extra `fast`), or grpcio; auto: hyper where it is installed."""
    secure_serving: bool = True
    """Serve ext_proc over TLS."""
    cert_path: str | None = None
    """Directory with tls.crt and tls.key; a self-signed certificate is made when left out."""
    endpoint_response_header: str | None = None
    """Response header that names the endpoint to the client, such as x-inference-pod; none when left out."""
    max_request_body_bytes: Size = 64 * MEBIBYTE
    """Largest request body, in bytes; a larger one is answered with 413."""
    max_held_body_bytes: Size = 512 * MEBIBYTE
    """Bytes of request bodies held by all streams together; when it is reached, gateways have to wait."""
    grpc_max_recv_msg_size: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Largest message of a gateway, in bytes; 0: room for one request body of the largest size."""
    stream_idle_timeout: Interval = 300.0
    """How long a gateway may send nothing of a request that is incomplete, such as 5m; then it is answered with 408."""
    drain_delay: Duration = 5.0
    """How long new streams are still taken after SIGTERM, while gateways notice that this picker is not ready."""
    drain_timeout: Duration = 30.0
    """How long streams in flight may take to finish after SIGTERM, such as 30s."""
    refresh_metrics_interval: Interval = 1.0
    """Time between two scrapes of an endpoint's metrics page, such as 1s."""
    v: Annotated[int, msgspec.Meta(ge=0)] = 2
    """Log verbosity: 1 leaves requests out, 2 has a line for each, 4 adds each decision's scores and failed scrape."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Environment variables that are no flags, each named like its field in capitals."""

    pod_name: str = ""
    """The pod that this process runs in, by Kubernetes' downward API, as are the next two; empty outside of one."""
    namespace: str = ""
    """Its namespace."""
    pod_template_hash: str = ""
    """The same for all pods of one version of a Deployment."""
    kubeconfig: str = "~/.kube/config"
    """Where the credentials for a cluster are; the default is kubectl's."""


def environment() -> Environment:
    """Return what is said now; a variable that is empty is as good as none."""
    said = {name: os.environ.get(name.upper()) for name in Environment.__struct_fields__}
    return Environment(**{name: value for name, value in said.items() if value})


def field_docs(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """Return the line under each field, which Python itself does not keep; empty when the source is not at hand."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    except (OSError, TypeError):
        return {}
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - it is the source of a class
    docs: dict[str, str] = {}
    for field, doc in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match doc:
                case ast.Expr(value=ast.Constant(value=str() as text)):
                    docs[field.target.id] = text
    return docs
