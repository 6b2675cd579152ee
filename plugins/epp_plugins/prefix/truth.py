"""What an engine's cache turns out to hold, against what was believed of it."""

from dataclasses import dataclass

from epp.plugin import Load

WINDOW_TOKENS = 16_384
"""Predicted hits after which prediction and observation are compared."""
LEAST_REQUESTS = 20
"""And requests: one long prompt that comes twice at the same time is no proof."""
FADING = 0.5
"""What a window counts for when the next one is over."""
MISS_RATIO = 0.5
"""Below this share of the predicted hits, the cache is believed to be smaller than it says."""
HIT_RATIO = 0.9
"""Above this share it is believed to be larger again than it was."""
OTHERS_RATIO = 1.5
"""How many times this picker's prompt tokens an engine may count before others' traffic makes it no comparison."""
LEAST_YIELD, MOST_YIELD = 0.5, 1.2
LEARNING = 0.8
LEAST_SCALE, SMALLEST_STEP, GROWTH = 0.01, 0.5, 1.1
RESTART_S = 1.0
"""Starts that differ by less are the same: some clients round them."""


@dataclass(slots=True)
class Hits:
    """Prompt tokens that were expected in a cache, and those that were there."""

    predicted: float = 0.0
    observed: float = 0.0
    prompt: float = 0.0
    requests: int = 0

    def add(self, other: "Hits", *, fading: float = 1.0) -> None:
        """Add others; what is there counts ``fading`` of what it did."""
        self.predicted = self.predicted * fading + other.predicted
        self.observed = self.observed * fading + other.observed
        self.prompt = self.prompt * fading + other.prompt
        self.requests += other.requests

    @property
    def error_ratio(self) -> float:
        """Predicted minus observed hits, as a share of all prompt tokens."""
        return (self.predicted - self.observed) / self.prompt if self.prompt else 0.0


class CacheTruth:
    """Compares, for one endpoint, and says by how much its believed size has to change.

    What is matched is not quite what an engine finds, even when it has all of it: it rounds to its own blocks and
    counts the tokens of its template. That share, the ``yield_ratio``, is learned; a cache that has let go of blocks
    shows as much less.

    Two sources tell: the answers, where gateways show them, with the cached tokens of each request; and always the
    engine's own counters, between two pages. Answers are exact and count alone as soon as there are some.
    """

    def __init__(self) -> None:
        self.recent = Hits()
        """Of the last windows, the older the less."""
        self.yield_ratio = 1.0
        """Tokens found for each one matched."""
        self._window = Hits()
        self._has_answers = False
        self._sent = Hits()
        """What was predicted for requests since the last comparison with the engine's counters."""
        self._counters: tuple[int, int] | None = None
        self._started_at_s: float | None = None

    def sent(self, *, matched: float, prompt: float) -> None:
        """Take note of a request: tokens that are matched in the cache, and all of its prompt."""
        self._sent.add(Hits(predicted=matched * self.yield_ratio, prompt=prompt, requests=1))

    def refused(self, *, matched: float, prompt: float) -> None:
        """Take back what `sent` noted: the engine has not looked at it."""
        self._sent.add(Hits(predicted=-matched * self.yield_ratio, prompt=-prompt, requests=-1))

    def answered(self, *, matched: float, observed: float, prompt: float) -> float:
        """Take note of what an answer says was cached; returns the factor by which the believed size changes."""
        self._has_answers = True
        return self._compare(Hits(matched * self.yield_ratio, observed, prompt, requests=1))

    def is_restarted(self, load: Load) -> bool:
        """Tell whether a page is that of another process than the one before: its cache is empty."""
        started, counters = load.started_at_s, _counters(load)
        known_start, known_counters = self._started_at_s, self._counters
        self._started_at_s = started if started is not None else known_start
        if started is not None and known_start is not None:
            return abs(started - known_start) > RESTART_S
        return counters is not None and known_counters is not None and counters < known_counters

    def begin_again(self, load: Load) -> None:
        """Forget what was compared with the process before."""
        self.recent, self._window, self._sent = Hits(), Hits(), Hits()
        self._counters = _counters(load)

    def counted(self, load: Load) -> float:
        """Take note of the engine's counters; returns the factor by which the believed size changes."""
        counters, before = _counters(load), self._counters
        if counters is None or before is None:
            self._counters = counters
            return 1.0
        queried, hit = counters[0] - before[0], counters[1] - before[1]
        sent = self._sent
        if self._has_answers or not queried or max(sent.predicted, sent.prompt * hit / queried) < WINDOW_TOKENS:
            return 1.0
        self._counters = counters
        self._sent = Hits()
        if queried > OTHERS_RATIO * sent.prompt:
            return 1.0
        # Counted in the engine's tokens, while ours are estimates: only the shares can be compared.
        return self._compare(Hits(sent.predicted, sent.prompt * hit / queried, sent.prompt, sent.requests))

    def _compare(self, hits: Hits) -> float:
        self._window.add(hits)
        if max(self._window.predicted, self._window.observed) < WINDOW_TOKENS or self._window.requests < LEAST_REQUESTS:
            return 1.0
        window, self._window = self._window, Hits()
        self.recent.add(window, fading=FADING)
        if window.predicted < window.observed / MOST_YIELD:
            return GROWTH  # more is there than was believed
        found = window.observed / window.predicted
        if found < MISS_RATIO:
            return SMALLEST_STEP
        learned = self.yield_ratio * (1 + LEARNING * (found - 1))
        self.yield_ratio = min(MOST_YIELD, max(LEAST_YIELD, learned))
        return GROWTH if found > HIT_RATIO else 1.0


def _counters(load: Load) -> tuple[int, int] | None:
    if load.prefix_queried_tokens is None or load.prefix_hit_tokens is None:
        return None
    return load.prefix_queried_tokens, load.prefix_hit_tokens
