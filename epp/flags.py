"""Structs as command-line options, and the flags of the Go pickers that mean nothing here."""

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import click
import msgspec

from epp.plugin import parse_duration
from epp.settings import field_docs

Command = Callable[..., None]

_KUBERNETES_LOGS = "log lines are JSON, and --v is their verbosity"
_METRICS_ACCESS = "the metrics port is not authenticated; keep it inside of the cluster"
IGNORED = {
    "allow-experimental-plugins": "there are none",
    "emit-endpoint-scores": "/debug/decisions shows them",
    "enable-cert-reload": "certificates are read at start",
    "enable-grpc-stream-metrics": "streams are counted in any case",
    "enable-pprof": "there is no such profiler",
    "grpc-max-send-msg-size": "what is sent is never large",
    "health-checking": "health is served on the ext_proc port in any case",
    "metrics-cert-dir": _METRICS_ACCESS,
    "metrics-client-ca-file": _METRICS_ACCESS,
    "metrics-endpoint-auth": _METRICS_ACCESS,
    "metrics-staleness-threshold": "load that is not confirmed fades by itself",
    "refresh-prometheus-metrics-interval": "metrics are computed when they are read",
    "tls-cipher-suites": "TLS is as the gRPC library has it",
    "tls-min-version": "TLS is as the gRPC library has it",
    "tracing": "there are no traces",
    "zap-devel": _KUBERNETES_LOGS,
    "zap-encoder": _KUBERNETES_LOGS,
    "zap-log-level": _KUBERNETES_LOGS,
    "zap-stacktrace-level": _KUBERNETES_LOGS,
    "zap-time-encoding": _KUBERNETES_LOGS,
}
"""Flags of the Go pickers that are taken and have no effect, and why."""
_METRIC = "name metrics in the parameters of `core-metrics-extractor`, as the Go pickers want it too"
REFUSED = dict.fromkeys(
    (
        "total-queued-requests-metric",
        "total-running-requests-metric",
        "kv-cache-usage-percentage-metric",
        "lora-info-metric",
        "cache-info-metric",
    ),
    _METRIC,
)
"""Flags of the Go pickers that they refuse as well."""


class Duration(click.ParamType[float]):
    """A Go duration, in seconds."""

    name = "duration"

    def __init__(self, *, least_s: float = 0.0) -> None:
        self._least_s = least_s

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if not isinstance(value, str):
            return value
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < self._least_s:
            self.fail(f"`{value}` is too short; the least is {self._least_s:g}s", param, ctx)
        return seconds


def options_of(struct: type[msgspec.Struct]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command one option for each field of a struct."""

    def decorate(command: Command) -> Command:
        docs = field_docs(struct)
        for field in reversed(msgspec.structs.fields(struct)):
            command = _option(field, docs.get(field.name, ""))(command)
        return command

    return decorate


def _option(field: msgspec.structs.FieldInfo, doc: str) -> Callable[[Command], Command]:
    attributes: dict[str, Any] = {"help": doc, "default": field.default, "show_default": True}
    kind, limits = _unwrap(field.type)
    if kind is bool:
        # As Go spells them: `--flag`, `--flag=true`, `--flag=false`.
        attributes |= {"type": click.BOOL, "is_flag": False, "flag_value": True}
    elif kind is float and limits.extra:
        attributes |= {"type": Duration(least_s=limits.ge or 0), "default": f"{field.default:g}s"}
    elif kind is float:
        attributes |= {"type": click.FloatRange(limits.ge, limits.le)}
    elif kind is int:
        attributes |= {"type": click.IntRange(*_whole(limits))}
    elif typing.get_origin(kind) is tuple:
        attributes |= {"multiple": True, "show_default": False}
    elif typing.get_origin(kind) is typing.Literal:
        attributes |= {"type": click.Choice(typing.get_args(kind))}
    elif isinstance(kind, types.UnionType):
        attributes |= {"show_default": False}
    names = [f"--{field.name.replace('_', '-')}"] + (["-v"] if field.name == "v" else [])
    return click.option(*names, field.name, **attributes)


def _unwrap(kind: Any) -> tuple[Any, msgspec.Meta]:  # noqa: ANN401 - a type form
    """Return a field's plain type and its constraints."""
    if typing.get_origin(kind) is typing.Annotated:
        plain, *metas = typing.get_args(kind)
        return plain, metas[0]
    return kind, msgspec.Meta()


def _whole(limits: msgspec.Meta) -> tuple[int | None, int | None]:
    """Return the bounds of an integer field."""
    least, most = (None if bound is None else int(bound) for bound in (limits.ge, limits.le))
    return least, most


def go_options(command: Command) -> Command:
    """Give a command the flags of the Go pickers that are not its own, hidden from its help."""
    for flag, reason in (IGNORED | REFUSED).items():
        command = click.option(f"--{flag}", help=reason, hidden=True, is_flag=False, flag_value="")(command)
    return command


def ignored(flags: dict[str, Any]) -> Mapping[str, str]:
    """Take the flags of the Go pickers out of what was given; returns those without an effect, and why they have none.

    Raises `click.UsageError` for one that is refused.
    """
    given = {flag for flag in (*IGNORED, *REFUSED) if flags.pop(flag.replace("-", "_"), None) is not None}
    for flag in sorted(given & REFUSED.keys()):
        raise click.UsageError(f"--{flag}: {REFUSED[flag]}")
    return {f"--{flag}": IGNORED[flag] for flag in sorted(given)}
