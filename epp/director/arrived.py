"""A request as the edge hands it over."""

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Controls(Struct, frozen=True, kw_only=True):
    """What the request's control headers say, in whichever spelling; empty: not there."""

    model_rewrite: str = ""
    """The model to ask the endpoint for, in place of the client's."""
    objective: str = ""
    """Name of an InferenceObjective."""
    fairness_id: str = ""


NO_CONTROLS = Controls()


class ArrivedRequest(Struct, frozen=True, gc=False):
    """A request as far as it is known: all there will be when it is decided where it goes."""

    head: Mapping[str, str]
    """Lower-case names, pseudo headers such as ``:path`` included; control headers are not in it."""
    body: bytes | None
    """Empty: the request has none. ``None``: the gateway keeps it to itself, so the head alone decides."""
    subset: Sequence[str] | None
    """The gateway's subset hint, each ``ip:port``; ``None`` when it gave none."""
    is_cut: bool = False
    """The body may be only the beginning of the real one."""
    controls: Controls = NO_CONTROLS

    @property
    def path(self) -> str:
        """Path and query string, empty when there is none."""
        return self.head.get(":path", "")

    @property
    def has_readable_body(self) -> bool:
        """Tell whether a parser should look at it: a POST without a body is an error, a GET is not."""
        return bool(self.body) or (self.body is not None and self.head.get(":method") == "POST")
