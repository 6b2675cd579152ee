"""Reading a metrics page by targeted scan, against the general parser of the Prometheus client: ``make bench-micro``.

Both read what the picker needs of a page that came from a real vLLM (50 KB). Quoted as a ratio within one run.
"""

import itertools
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from timing import median_us

from epp.datalayer.core_metrics import CoreMetricsExtractor, Params
from epp.plugin.testing import make_endpoint

PAGE = Path(__file__).parents[2] / "tests" / "data" / "vllm-0.32-metrics.txt"
WANTED = {
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:cache_config_info",
}


def parse_all(page: bytes) -> int:
    """Read the page as the general parser does; return how many of the wanted metrics it has."""
    return sum(family.name in WANTED for family in text_string_to_metric_families(page.decode()))


def main() -> None:
    """Print the durations, for pages that differ ever less from the one before, and the ratios to the parser's."""
    page = PAGE.read_bytes()
    pages = itertools.cycle([page, page.replace(b"} 0.0", b"} 1.0")])
    parser_us = median_us(lambda: parse_all(page), repeats=50)
    print(f"page of {len(page)} bytes: general parser {parser_us:.0f} us")
    warm, endpoint = CoreMetricsExtractor(Params()), make_endpoint()
    for what, read in (
        ("first page", lambda: CoreMetricsExtractor(Params()).read_load(endpoint, page)),
        ("other numbers", lambda: warm.read_load(endpoint, next(pages))),
        ("same numbers", lambda: warm.read_load(endpoint, page)),
    ):
        scan_us = median_us(read, repeats=2000)
        print(f"targeted scan, {what}: {scan_us:.0f} us, ratio {parser_us / scan_us:.0f}")


if __name__ == "__main__":
    main()
