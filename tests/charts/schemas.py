"""The schemas that a cluster has: those of Kubernetes, and ``crds/`` for custom resources."""

from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from tests.charts.rendering import Json

CRDS = Path(__file__).parent / "crds"
NEWEST = "1.37"


def validate(manifest: Json, version: str = NEWEST) -> None:
    """Raise a validation error for what a cluster of a version would refuse, or drop."""
    if not is_custom(manifest):
        kubernetes_validate.validate(manifest, version, strict=True)
        return
    group, api_version = manifest["apiVersion"].split("/")
    assert {"apiVersion", "kind", "metadata"} <= manifest.keys() <= {"apiVersion", "kind", "metadata", "spec"}
    jsonschema.validate(manifest.get("spec", {}), schemas(group)[api_version][manifest["kind"]])


def is_custom(manifest: Json) -> bool:
    return (CRDS / f"{manifest['apiVersion'].partition('/')[0]}.yaml").exists()


@cache
def schemas(group: str) -> Json:
    """Return the schemas of an API group, by version and kind."""
    schemas: Json = yaml.safe_load((CRDS / f"{group}.yaml").read_text())
    return schemas
