"""The JSON schema says of a configuration what the picker says."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from epp.cli import main
from epp.registry import Registry
from epp.schema import config_schema

ROOT = Path(__file__).parents[2]
VALID = sorted(
    path
    for folder in (ROOT / "config", ROOT / "tests" / "go_configs")
    for path in folder.glob("*.yaml")
    if path.name != "endpoints.yaml"
)
HEAD = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = config_schema(Registry.installed())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_files_are_valid_by_the_schema(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param(HEAD | {"apiVersion": "v1"}, ["apiVersion"], id="other version"),
        pytest.param(HEAD | {"plugin": []}, [], id="unknown section"),
        pytest.param(HEAD | {"plugins": [{"type": "queue-scorrer"}]}, ["plugins", 0, "type"], id="unknown type"),
        pytest.param(
            HEAD | {"plugins": [{"type": "approx-prefix-cache-producer", "parameters": {"blockSize": 1}}]},
            ["plugins", 0, "parameters"],
            id="unknown parameter",
        ),
        pytest.param(
            HEAD | {"plugins": [{"type": "label-selector-filter", "parameters": {"matchExpressions": [{"key": "a"}]}}]},
            ["plugins", 0, "parameters"],
            id="parameter missing below",
        ),
    ],
)
def test_what_is_wrong_is_wrong_by_the_schema(
    validator: jsonschema.Draft202012Validator, document: dict[str, Any], path: list[str | int]
) -> None:
    errors = list(validator.iter_errors(document))
    assert path in [list(error.path) for error in errors]


def test_fields_are_explained() -> None:
    definitions = config_schema(Registry.installed())["$defs"]
    assert definitions["ProfilePluginSpec"]["properties"]["weight"]["description"] == (
        "Of a scorer, 0 or more; 1 when left out."
    )


def test_schema_is_printed() -> None:
    result = CliRunner().invoke(main, ["config-schema"], catch_exceptions=False)
    assert yaml.safe_load(result.stdout) == config_schema(Registry.installed())
