"""Charts as Helm renders them, offline."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

Json = dict[str, Any]
Manifests = Sequence[Json]

CHARTS = Path(__file__).parents[2] / "charts"
NAMESPACE, RELEASE = "models", "llm"
NEEDED: Mapping[str, Json] = {
    "inferencepool": {"inferencePool": {"modelServers": {"matchLabels": {"app": "vllm"}}}},
    "standalone": {"inferenceExtension": {"endpointsServer": {"endpointSelector": "app=vllm"}}},
}
"""The values that each chart cannot do without."""


@dataclass(frozen=True, slots=True)
class Release:
    """What an installation would create, and what it would say."""

    manifests: Manifests
    notes: str

    def the(self, kind: str, name: str | None = None) -> Json:
        """The only manifest of a kind, or that of a name."""
        (found,) = [one for one in self.all(kind) if name in {None, one["metadata"]["name"]}]
        return found

    def all(self, kind: str) -> Manifests:
        return [one for one in self.manifests if one["kind"] == kind]

    @property
    def pod(self) -> Json:
        spec: Json = self.the("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def picker(self) -> Json:
        return _picker(self.manifests)

    @property
    def args(self) -> list[str]:
        return picker_args(self.manifests)

    def config(self, file: str = "default-plugins.yaml") -> str:
        """An EndpointPickerConfig."""
        text: str = self.the("ConfigMap", f"{RELEASE}-epp")["data"][file]
        return text


def rendered(chart: str, values: Json | None = None) -> list[Json]:
    """Return the manifests of a chart with values beside `NEEDED`, of release `RELEASE` in namespace `NAMESPACE`."""
    return list(release(chart, values).manifests)


def picker_args(manifests: Manifests) -> list[str]:
    """Return what ``epp serve`` is started with."""
    args: list[str] = _picker(manifests)["args"]
    return args


def release(chart: str, values: Json | None = None, *, needed: bool = True, name: str = RELEASE) -> Release:
    """Return all of it; ``needed=False`` leaves `NEEDED` out."""
    given = merged(NEEDED[chart] if needed else {}, values or {})
    texts = loaded(chart).render(given, name=name, namespace=NAMESPACE)
    notes = "".join(text for path, text in texts.items() if path.endswith("NOTES.txt"))
    files = sorted(path for path in texts if path.endswith(".yaml"))
    return Release([one for path in files for one in yaml.safe_load_all(texts[path]) if one], notes)


@functools.cache
def loaded(chart: str) -> helm_python.Chart:
    return helm_python.Chart.load(CHARTS / chart)


def merged(values: Json, over: Json) -> Json:
    """Return values with others over them, as Helm merges them."""
    both = dict(values)
    for key, value in over.items():
        below = both.get(key)
        both[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return both


def nested(path: str, value: object) -> Json:
    """Return values in which only the one at ``a.b.c`` is given."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def _picker(manifests: Manifests) -> Json:
    (deployment,) = [one for one in manifests if one["kind"] == "Deployment"]
    containers: list[Json] = deployment["spec"]["template"]["spec"]["containers"]
    return next(container for container in containers if container["name"] == "epp")
