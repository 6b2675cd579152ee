"""The sections of an ``EndpointPickerConfig``, one struct each; keys are camelCase in the file.

Every field has a default, so that one wrong value does not hide the problems of its neighbours: `epp.config.check`
says which ones are required.
"""

from typing import Any

import msgspec

API_VERSIONS = ("llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1")
"""Current and old; they mean the same."""
KIND = "EndpointPickerConfig"


class _Section(msgspec.Struct, frozen=True, rename="camel"):
    pass


class PluginSpec(_Section, frozen=True):
    """One plugin instance."""

    name: str = ""
    """How references call it; the type when left out."""
    type: str = ""
    """The registered plugin type. Required."""
    parameters: dict[str, Any] | None = None
    """Checked against the plugin's own parameter struct."""

    @property
    def ref(self) -> str:
        """What a ``pluginRef`` to it says."""
        return self.name or self.type


class PluginRef(_Section, frozen=True):
    """A reference to a plugin of the ``plugins`` list."""

    plugin_ref: str = ""


class ProfilePluginSpec(_Section, frozen=True):
    """A plugin's place in a profile."""

    plugin_ref: str = ""
    weight: float | None = None
    """Of a scorer, 0 or more; 1 when left out."""


class ProfileSpec(_Section, frozen=True):
    """A named set of filters, scorers and a picker."""

    name: str = ""
    plugins: list[ProfilePluginSpec] = []


class RequestHandlerSpec(_Section, frozen=True):
    """How requests are read."""

    parsers: list[PluginRef] = []


class SourceSpec(_Section, frozen=True):
    """A data source, and what reads its pages."""

    plugin_ref: str = ""
    extractors: list[PluginRef] = []


class DataLayerSpec(_Section, frozen=True):
    """Where endpoints and their load come from."""

    inject_defaults: bool = True
    """Whether a source and an extractor that are left out are added."""
    sources: list[SourceSpec] = []
    """At most one."""
    discovery: PluginRef | None = None


class EndpointPickerConfig(_Section, frozen=True):
    """The whole file."""

    api_version: str = ""
    kind: str = ""
    plugins: list[PluginSpec] = []
    scheduling_profiles: list[ProfileSpec] = []
    request_handler: RequestHandlerSpec = RequestHandlerSpec()
    data_layer: DataLayerSpec = DataLayerSpec()
