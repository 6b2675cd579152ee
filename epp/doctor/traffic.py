"""In which body mode the gateway really asks, by the picker's own count."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from epp.datalayer.exposition import Layout, read_count
from epp.doctor.health import metrics_port
from epp.doctor.istio_objects import EnvoyFilter
from epp.doctor.objects import FullPod, place
from epp.doctor.reaching import Reach
from epp.doctor.verdict import Found, Outcome, SkippedError
from epp.kube.connection import KubeError

STREAMS = b"epp_streams_total"
LOOK_TIMES = 3
"""A stream is counted when it has ended, which may be a moment after the answer."""
LOOK_AGAIN_S = 0.2
BLIND = frozenset({"none", "streamed"})
"""Modes in which the picker decides before it has seen the body."""


async def check_body_modes(reach: Reach, pods: Sequence[FullPod], filters: Sequence[EnvoyFilter]) -> Found[None]:
    """Tell in which modes requests came to the picker since it was started."""
    counts = await _counts(reach, pods)
    listed = ", ".join(f"{mode} {count}" for mode, count in counts.most_common())
    blind = sorted(BLIND & counts.keys())
    if not blind:
        return Found(None, f"streams by request body mode: {listed}")
    advice = "let the gateway ask with FULL_DUPLEX_STREAMED or BUFFERED (docs/gateways.md)"
    if filters:
        advice += f"; these EnvoyFilters set it: {', '.join(map(place, filters))}"
    else:
        advice += "; on Istio an EnvoyFilter such as config/istio/envoyfilter-buffered.yaml does"
    message = f"in mode {' and '.join(blind)} the picker decides before it sees model and prompt: {listed}"
    return Found(None, message, advice, Outcome.WARN)


async def _counts(reach: Reach, pods: Sequence[FullPod]) -> Counter[str]:
    """Return streams by mode; raises `SkippedError` when there is none."""
    has_metric = False
    for turn in range(LOOK_TIMES):
        if turn:
            await asyncio.sleep(LOOK_AGAIN_S)
        counts = Counter[str]()
        for page in await _metrics(reach, pods):
            has_metric = has_metric or STREAMS in page
            for labels, value in Layout().find(page, STREAMS).series:
                counts[labels.get(b"request_body", b"unknown").decode(errors="replace")] += int(read_count(value) or 0)
        if counts := +counts:
            return counts
    raise SkippedError(
        "no request has come to the picker yet" if has_metric else "this picker does not count body modes"
    )


async def _metrics(reach: Reach, pods: Sequence[FullPod]) -> Sequence[bytes]:
    """Return the pages of those that answer; raises `KubeError` when none does."""
    pages, silent = list[bytes](), list[KubeError]()
    for pod in pods:
        try:
            pages.append(await reach.page(pod, metrics_port(pod.spec), "/metrics"))
        except KubeError as error:
            silent.append(error)
    if silent and not pages:
        raise silent[0]
    return pages
