"""The configuration that is used when none is given: queue 2, KV cache 2, prefix cache 3."""

from epp.config.model import API_VERSIONS, KIND, EndpointPickerConfig, PluginSpec, ProfilePluginSpec, ProfileSpec

DEFAULT_CONFIG = EndpointPickerConfig(
    api_version=API_VERSIONS[0],
    kind=KIND,
    plugins=[
        PluginSpec(type="queue-scorer"),
        PluginSpec(type="kv-cache-utilization-scorer"),
        PluginSpec(type="prefix-cache-scorer"),
        PluginSpec(type="max-score-picker"),
        PluginSpec(type="single-profile-handler"),
    ],
    scheduling_profiles=[
        ProfileSpec(
            name="default",
            plugins=[
                ProfilePluginSpec(plugin_ref="queue-scorer", weight=2),
                ProfilePluginSpec(plugin_ref="kv-cache-utilization-scorer", weight=2),
                ProfilePluginSpec(plugin_ref="prefix-cache-scorer", weight=3),
                ProfilePluginSpec(plugin_ref="max-score-picker"),
            ],
        )
    ],
)
"""Written out in ``config/default.yaml``; a test keeps the two equal."""

DEFAULT_PARSERS = ("openai-parser", "anthropic-parser", "vllmhttp-parser")
DEFAULT_DATA_SOURCE = "metrics-data-source"
DEFAULT_EXTRACTOR = "core-metrics-extractor"
DEFAULT_PICKER = "max-score-picker"
DEFAULT_DETECTOR = "utilization-detector"
DEFAULT_PROFILE_HANDLER = "single-profile-handler"
