"""Messages of vLLM's KV event stream: three parts, of which the last is msgpack.

``[time, [event, ...], rank]``, where an event is a map with its ``type``, or in older versions an array that begins
with it. Fields and their order are those of vLLM 0.32 (`BlockStored`, `BlockRemoved`, `AllBlocksCleared`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

BlockHash = int | bytes
WHOLE_ATTENTION = frozenset({None, "full_attention", "mla_attention", "sink_full_attention"})
"""Kinds of attention whose blocks hold everything before them; those of sliding windows say nothing about a prefix."""
_STORED = (
    "block_hashes",
    "parent_block_hash",
    "token_ids",
    "block_size",
    "lora_id",
    "medium",
    "lora_name",
    "extra_keys",
)
_REMOVED = ("block_hashes", "medium")
MAX_BLOCK_TOKENS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Blocks that an engine has now, one after the other."""

    hashes: Sequence[BlockHash]
    parent: BlockHash | None
    """The block before them; ``None``: they begin a prompt."""
    tokens: Sequence[int]
    """Of all of them."""
    block_tokens: int
    adapter: str = ""
    medium: str = ""
    """Where they are, such as ``GPU`` or ``CPU``."""
    group: int | None = None
    """Which of the model's groups of layers they are of."""
    extra: Sequence[Sequence[object]] = field(default=())
    """For each block what it depends on beside its tokens: salt, media. Empty: on nothing."""


@dataclass(frozen=True, slots=True)
class Removed:
    """Blocks that an engine has no more."""

    hashes: Sequence[BlockHash]
    medium: str = ""
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Cleared:
    """An engine has nothing any more."""


Event = Stored | Removed | Cleared


def read_batch(payload: bytes) -> tuple[Sequence[Event], Sequence[str]]:
    """Return the events of a message that say something about prefixes, and why others could not be read.

    Raises `ValueError` for a message that is no batch of events.
    """
    try:
        batch = msgspec.msgpack.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no msgpack: {error}") from error
    if not isinstance(batch, list) or len(batch) < len(("time", "events")) or not isinstance(batch[1], list):
        raise ValueError("no batch of events")
    events: list[Event] = []
    problems: list[str] = []
    for one in batch[1]:
        try:
            event = _read(one)
        except ValueError as error:
            problems.append(str(error))
            continue
        if event is not None:
            events.append(event)
    return events, problems


def _read(event: object) -> Event | None:
    """Return an event; ``None`` for one of a kind that is not known, or that says nothing about prefixes."""
    kind, fields = _fields(event)
    attention, group, medium = fields.get("kv_cache_spec_kind"), fields.get("group_idx"), fields.get("medium")
    if not (isinstance(attention, str | None) and isinstance(group, int | None) and isinstance(medium, str | None)):
        raise ValueError("kv_cache_spec_kind, group_idx or medium of another type")  # noqa: TRY004 - of a message
    match kind:
        case "BlockStored" if attention in WHOLE_ATTENTION and fields.get("token_ids") != []:
            return _stored(fields, medium=medium or "", group=group)
        case "BlockRemoved":
            return Removed(_hashes(fields), medium=medium or "", group=group)
        case "AllBlocksCleared":
            return Cleared()
    return None


def _fields(event: object) -> tuple[object, Mapping[str, object]]:
    if isinstance(event, dict):
        return event.get("type"), event
    if isinstance(event, list) and event:
        names = {"BlockStored": _STORED, "BlockRemoved": _REMOVED}.get(str(event[0]), ())
        return event[0], dict(zip(names, event[1:], strict=False))
    raise ValueError("an event that is neither a map nor a list")


def _stored(fields: Mapping[str, object], *, medium: str, group: int | None) -> Stored:
    hashes, tokens, block_tokens = _hashes(fields), fields.get("token_ids"), fields.get("block_size")
    if not isinstance(block_tokens, int) or not 0 < block_tokens <= MAX_BLOCK_TOKENS:
        raise ValueError(f"block_size {block_tokens!r}")
    if not isinstance(tokens, list) or not all(isinstance(token, int) and 0 <= token < 2**32 for token in tokens):
        raise ValueError("token_ids that are no numbers")
    if len(tokens) != block_tokens * len(hashes):
        raise ValueError(f"{len(tokens)} tokens for {len(hashes)} blocks of {block_tokens}")
    parent = fields.get("parent_block_hash")
    if parent is not None and not isinstance(parent, (int, bytes)):
        raise ValueError("parent_block_hash that is no hash")
    adapter = fields.get("lora_name")
    return Stored(
        hashes=hashes,
        parent=parent,
        tokens=tokens,
        block_tokens=block_tokens,
        adapter=adapter if isinstance(adapter, str) else "",
        medium=medium,
        group=group,
        extra=_extra(fields.get("extra_keys"), len(hashes)),
    )


def _hashes(fields: Mapping[str, object]) -> Sequence[BlockHash]:
    hashes = fields.get("block_hashes")
    if not isinstance(hashes, list) or not all(isinstance(one, (int, bytes)) for one in hashes):
        raise ValueError("block_hashes that are no hashes")
    return hashes


def _extra(keys: object, blocks: int) -> Sequence[Sequence[object]]:
    if keys is None:
        return ()
    if not isinstance(keys, list) or len(keys) != blocks:
        raise ValueError("extra_keys that are not one for each block")
    return [one if isinstance(one, list) else [] for one in keys]
