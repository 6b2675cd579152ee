"""Hostile inputs: real requests and answers, mutated."""

import json
import random

TOKENS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b'"',
    b"\\",
    b'\\"',
    b"\\u",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r\n\r\n",
    b"\n\n",
    b"data: ",
    b"[DONE]",
    b"null",
    b"true",
    b"NaN",
    b"-",
    b"1e999",
    b"9" * 40,
    b"-0.0",
    b"0x1",
    b'"model":',
    b'"model":"served"',
    b'"usage":{',
    b'"meta_info":{',
    b'"prompt_tokens":7}',
    b'"messages":',
    b'"content":',
    b'"role":',
    b'"type":"image_url"',
    b'"token_ids":[1,2]',
    b'"model":"a","model":"b"',
    b"[" * 200,
    b'{"a":' * 200,
    b"\x00\x00\x00\x00\x05",
    b"\x01",
]
"""What parsers trip over, and what the readers look for."""

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "é 😀"}, {"type": "image_url", "image_url": {"url": "data:x"}}],
    },
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
]
DOCUMENTS = [
    {
        "model": "m",
        "messages": MESSAGES,
        "tools": [{"type": "function"}],
        "max_tokens": 5,
        "stream": True,
        "seed": 2**60,
    },
    {"model": "m", "prompt": ["a", "b"], "cache_salt": "s"},
    {"model": "m", "prompt": [[1, 2], [3]]},
    {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}], "instructions": "i"},
    {"items": [{"type": "message", "role": "user", "content": "x"}]},
    {"model": "m", "system": [{"type": "text", "text": "s"}], "messages": MESSAGES, "max_tokens": 1},
    {
        "model": "m",
        "token_ids": [1, 2, 3],
        "features": {"mm_hashes": {"image": ["h"]}, "mm_placeholders": {"image": [{"offset": 1, "length": 1}]}},
    },
    {"input_ids": [1, 2], "extra_key": "k", "sampling_params": {"max_new_tokens": 2}, "image_data": ["x"]},
    {
        "id": "1",
        "model": "served",
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
    },
]
SEEDS = [
    json.dumps(document, ensure_ascii=ascii_only).encode() for document in DOCUMENTS for ascii_only in (True, False)
] + [
    b'data: {"model": "served", "usage": null}\r\n\r\ndata: {"model":"served","usage":{"prompt_tokens":7}}\n\n',
    b"\x00\x00\x00\x00\x0a\x1a\x05Hello(\x01",
    b"\x00\x00\x00\x00\x0a\x12\x08\x0a\x02ab\x12\x02\x01\x02",
    b"",
]


def mutated(rng: random.Random) -> bytes:
    """Return one input: a seed as it is, or changed in one to five places."""
    text = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5))):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(6):
            case 0:
                text[at:at] = rng.choice(TOKENS)
            case 1:
                del text[at : at + rng.choice((1, 2, 10, 1000))]
            case 2:
                text[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                text[at:at] = text[rng.randrange(at + 1) : at]
            case 4:
                other = rng.choice(SEEDS)
                text[at:] = other[rng.randrange(len(other) + 1) :]
            case _:
                text[at:at] = rng.choice(TOKENS) * rng.choice((1, 2, 50))
    return bytes(text[:20_000])


def pieces(text: bytes, rng: random.Random) -> list[bytes]:
    """Cut some bytes into pieces anywhere."""
    edges = sorted(rng.randrange(len(text) + 1) for _ in range(rng.choice((0, 1, 3, 9))))
    return [text[start:stop] for start, stop in zip([0, *edges], [*edges, len(text)], strict=True)]
