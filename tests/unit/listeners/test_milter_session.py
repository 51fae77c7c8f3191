"""A milter session without a network: any order of events, any damage, and never a bug of ours."""

from __future__ import annotations

import asyncio
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from filterproxy.config.listeners import MilterListener as MilterConfig
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.milter_session import MilterSession, MilterShared
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.protocols.milter import commands as c
from filterproxy.protocols.milter.frames import FrameDecoder
from filterproxy.protocols.milter.options import Actions, Options, Steps
from filterproxy.protocols.milter.replies import Continue, Progress, Reply, decode_reply
from filterproxy.services.clock import SystemClock
from filterproxy.testing.context import make_site
from tests.dialogs.scripted_pipeline import Script, ScriptedPipeline

QUIET = Options(6, Actions(0x1FF), Steps(0x1FFFFF))
TALKATIVE = Options(2, Actions(0x3F), Steps(0x7F))
EVENTS = {
    "C": c.Connect("mx.example", "4", 25, "192.0.2.1"),
    "H": c.Helo("mx.example"),
    "M": c.Mail(("<a@example.org>", "SIZE=1")),
    "R": c.Rcpt(("<b@example.org>",)),
    "T": c.Data(),
    "L": c.Header(b"Subject", b" x\n\ty"),
    "N": c.EndOfHeaders(),
    "B": c.Body(b"body\r\n"),
    "E": c.EndOfMessage(),
    "A": c.Abort(),
    "K": c.QuitNewConnection(),
    "D": c.Macros("M", {"i": "4Xyz", "auth_authen": "joe"}),
}
LIKELY = ["CHMRTLNBE", "MRTLNE", "MRLLNBBE", "MRA", "H", "D", "KC", "MRRTE"]


class FakeTransport(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        assert not self.closing
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def replies(self) -> list[Reply]:
        frames = FrameDecoder()
        frames.feed(self.written)
        found = []
        while frame := frames.next_frame():
            if frame[0] != b"O":
                found.append(decode_reply(*frame))
        return found


async def play(stream: bytes, cut: int, *scripts: Script) -> tuple[FakeTransport, ScriptedPipeline, str]:
    """Feed a stream in pieces; returns the transport, the pipeline and the metrics."""
    pipeline = ScriptedPipeline(*scripts)
    context = ListenerContext(make_site(), open_maillog(os.devnull), Metrics(), SystemClock())
    shared = MilterShared(MilterConfig(type="milter", address="127.0.0.1:1"), lambda: pipeline, context)
    session, transport = MilterSession(shared), FakeTransport()
    session.connection_made(transport)
    for start in range(0, len(stream), cut):
        if not transport.closing:
            session.data_received(stream[start : start + cut])
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while session._deciding is not None:
            await asyncio.sleep(0)
    session.connection_lost(None)
    context.log.close()
    assert not shared.sessions
    return transport, pipeline, context.metrics.render().decode()


def stream_of(offer: Options, letters: str) -> bytes:
    return c.Negotiate(offer).encode() + b"".join(EVENTS[letter].encode() for letter in letters)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([QUIET, TALKATIVE]),
    st.lists(st.sampled_from(LIKELY + list(EVENTS)), max_size=12),
    st.integers(1, 300),
)
def test_any_order_of_events(offer, groups, cut):
    transport, pipeline, metrics = asyncio.run(play(stream_of(offer, "C" + "".join(groups)), cut))
    assert "filterproxy_internal_errors_total 0.0" in metrics
    # Every scan that began came to its end, one way or the other, and each message had one decision.
    assert all(scan.ended.is_set() for scan in pipeline.scans)
    decisions = [reply for reply in transport.replies() if not isinstance(reply, Continue | Progress)]
    assert len(decisions) == sum(bool(scan.recorded) for scan in pipeline.scans)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_streams(data):
    damaged = bytearray(stream_of(QUIET, "CHDMRTLNBEMRTLNBEA"))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    _, pipeline, metrics = asyncio.run(play(bytes(damaged), data.draw(st.integers(1, 300))))
    assert "filterproxy_internal_errors_total 0.0" in metrics
    assert all(scan.ended.is_set() for scan in pipeline.scans)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["", "begin", "finish", "record"]), min_size=1, max_size=4), st.integers(1, 300))
def test_our_bugs_never_let_a_message_pass_and_never_bounce_one(fails, cut):
    scripts = [Script(fails=place) for place in fails]
    transport, _, _ = asyncio.run(play(stream_of(QUIET, "C" + "MRTLNBE" * len(fails)), cut, *scripts))
    words = [type(reply).__name__ for reply in transport.replies()]
    first = next((number for number, place in enumerate(fails) if place), len(fails))
    expected = ["Accept"] * first
    if first < len(fails):
        expected.append("Accept" if fails[first] == "record" else "TempFail")
        assert transport.closing
    assert words == expected
