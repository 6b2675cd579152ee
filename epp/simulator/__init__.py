"""Model servers for demo, tests and benchmarks: the OpenAI API in front, vLLM's metrics beside it, no model inside.

`engine` behaves like an inference engine where routing can tell the difference: a bounded batch, a queue before it, a
prefix cache of blocks that makes a known beginning cheaper, and speeds for prefill and decode. It counts time by the
event loop's clock only. `api` speaks HTTP for it, `page` exports its numbers under vLLM's names.
"""

from epp.simulator.api import ModelServer, run_servers
from epp.simulator.engine import Engine, EngineSettings

__all__ = ["Engine", "EngineSettings", "ModelServer", "run_servers"]
