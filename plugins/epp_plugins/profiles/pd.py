"""``pd-profile-handler``: the old name of ``disagg-profile-handler``."""

from epp.plugin import PluginParams
from epp_plugins.profiles import disagg


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    decode_profile: str = "decode"
    prefill_profile: str = "prefill"
    decider_plugin_name: str | None = None
    """Says whether a prompt is computed elsewhere; always, when left out."""
    threshold: int | None = None
    """Accepted for files of the Go pickers, like the next three: deciders have parameters of their own."""
    hash_block_size: int | None = None
    prefix_plugin_type: str | None = None
    prefix_plugin_name: str | None = None
    primary_port: int = 0
    """0. Where one port stands for all ranks, use `data-parallel-profile-handler`."""


class PdProfileHandler(disagg.DisaggProfileHandler):
    """Runs a profile for decoding, and one for the prompt where that is worth it."""

    def __init__(self, params: Params) -> None:
        super().__init__(
            disagg.Params(
                decode_profile=params.decode_profile,
                prefill_profile=params.prefill_profile,
                decider_plugin_name=params.decider_plugin_name,
            )
        )
