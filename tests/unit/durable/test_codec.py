"""Codecs see every payload of every record, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from hotmesh.core.durable import records as r
from hotmesh.durable.codec import HIDDEN, Coder, is_sealed, needs_codec
from hotmesh.durable.errors import CodecError

SECRET = "the secret"


class Reverse:
    async def encode(self, payloads: list[bytes]) -> list[bytes]:
        return [p[::-1] for p in payloads]

    decode = encode


class Broken(Reverse):
    async def decode(self, payloads: list[bytes]) -> list[bytes]:
        raise ValueError("no key")


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


FAILURE = r.Failure("activity", SECRET, details=raw([SECRET]), cause=r.Failure("x", SECRET))
BEGIN = r.Begin(
    "w",
    raw([SECRET]),
    "q",
    "run",
    1,
    headers={"h": raw(SECRET)},
    memo=raw({"m": SECRET}),
    attributes=raw({"customer": "open"}),
    carried=(r.encode_input(r.Sent("s", raw([SECRET]))),),
)
VALUES = [
    BEGIN,
    r.Sent("signal", raw([SECRET])),
    r.Answer(1, 1, failure=FAILURE),
    r.Turn(
        1,
        (0, r.Answer(1, 1, raw(SECRET))),
        (
            r.Act(2, "act", "q", raw([SECRET])),
            r.Child(3, "c", "w", "q", r.encode_input(BEGIN)),
            r.Fail(FAILURE),
            r.Complete(raw(SECRET)),
        ),
    ),
    r.Attributes(raw({"customer": "open"})),
    raw({"plain": SECRET}),
]


async def test_what_was_sealed_is_opened_again() -> None:
    coder = Coder([Reverse()])
    sealed = await coder.seal(VALUES)
    stored = msgspec.msgpack.encode(sealed)
    assert SECRET.encode() not in stored
    assert SECRET[::-1].encode() in stored
    assert b"open" in stored, "search attributes are for looking up"
    assert HIDDEN.encode() in stored
    opened = await coder.open(sealed)
    assert msgspec.msgpack.encode(opened) == msgspec.msgpack.encode(VALUES)
    assert needs_codec(sealed[0]) and not needs_codec(opened[0])


async def test_sealing_twice_is_sealing_once() -> None:
    coder = Coder([Reverse()])
    once = await coder.seal(VALUES)
    assert msgspec.msgpack.encode(await coder.seal(once)) == msgspec.msgpack.encode(once)


async def test_empty_payloads_are_left() -> None:
    coder = Coder([Reverse()])
    (none,) = await coder.seal([Raw(b"\xc0")])
    assert not is_sealed(none)


async def test_codecs_are_undone_in_the_reverse_order() -> None:
    class Add(Reverse):
        async def encode(self, payloads: list[bytes]) -> list[bytes]:
            return [p + b"!" for p in payloads]

        async def decode(self, payloads: list[bytes]) -> list[bytes]:
            assert all(p.endswith(b"!") for p in payloads)
            return [p[:-1] for p in payloads]

    coder = Coder([Reverse(), Add()])
    assert bytes((await coder.open(await coder.seal([raw("x")])))[0]) == bytes(raw("x"))


async def test_a_codec_that_fails_is_named() -> None:
    sealed = await Coder([Broken()]).seal([raw("x")])
    with pytest.raises(CodecError, match="Broken could not decode"):
        await Coder([Broken()]).open(sealed)
