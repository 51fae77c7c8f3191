"""The log's lines as an operator and scripts see them, and that untrusted text cannot forge any."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from filterproxy.core.symbol import ScoredSymbol
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.sinks import Level
from tests.unit.observability.log_reader import memory_log

EVIL = 'x\r\n4Abc: scan: action=no_action from=<good@example.org> "\x1b[2J\u202e, ;){}<>='


@pytest.fixture
def log_and_sink():
    log, sink = memory_log()
    yield log, sink
    log.close()


def lines(log, sink) -> list[str]:
    assert log.flush()
    return sink.texts


def scan(log, **changes):
    fields = {
        "session": "s1",
        "listener": "smtp",
        "queue_id": "4Xyz",
        "client": "192.0.2.1",
        "client_name": "mail.example.org",
        "helo": "mail.example.org",
        "mail_from": "a@b.example",
        "rcpt_to": ("c@d.example",),
        "message_id": "<1@b.example>",
        "size": 1234,
        "action": "reject",
        "score": 15.2,
        "required_score": 6.0,
        "reply": "554 5.7.1 Message rejected",
        "seconds": 0.0123,
        "symbols": (
            ScoredSymbol("SMALL", 0.0, (), ""),
            ScoredSymbol("SPF_FAIL", 15.2, ("b.example", "192.0.2.1"), ""),
        ),
    }
    log.scan(**(fields | changes))


def test_a_scan_line(log_and_sink):
    log, sink = log_and_sink
    scan(log)
    assert lines(log, sink) == [
        "4Xyz: scan: action=reject score=15.2 required=6 from=<a@b.example> to=<c@d.example> nrcpt=1"
        " client=mail.example.org[192.0.2.1] helo=<mail.example.org> message-id=<1@b.example> size=1234"
        ' listener=smtp session=s1 delay=0.012 reply="554 5.7.1 Message rejected"'
        " symbols=SPF_FAIL(15.2){b.example;192.0.2.1},SMALL(0)"
    ]


def test_a_scan_line_without_much_to_say(log_and_sink):
    log, sink = log_and_sink
    log.scan(session="s1", listener="milter", action="add header", score=-0.5, required_score=6)
    assert lines(log, sink) == [
        "s1: scan: action=add_header score=-0.5 required=6 from=<> to=<> nrcpt=0 client=unknown[unknown] helo=<>"
        " message-id=<> size=0 listener=milter session=s1 delay=0.000 symbols="
    ]


def test_many_recipients_and_symbols_are_counted_not_listed(log_and_sink):
    log, sink = log_and_sink
    symbols = [ScoredSymbol(f"S{number}", number, (), "") for number in range(100)]
    scan(log, rcpt_to=[f"r{number}@x.example" for number in range(500)], symbols=symbols)
    (line,) = lines(log, sink)
    assert "to=<r0@x.example>," in line
    assert ",+490 nrcpt=500" in line
    assert "symbols=S99(99),S98(98)," in line
    assert line.endswith(",+40")


def test_every_event_has_its_line(log_and_sink):
    log, sink = log_and_sink
    log.connect("s1", "smtp", "192.0.2.1", "mail.example.org")
    log.disconnect("s1", "smtp", messages=2, seconds=1.5)
    log.session_error("s1", "lost connection")
    log.relay("s1", next_hop="127.0.0.1:10026", reply="250 2.0.0 Ok", queue_id="4X", seconds=0.5)
    log.next_hop_error("s1", stage="connect", reason="Connection refused", next_hop="127.0.0.1:10026")
    log.check_failed("spf", "timed out after 10s", queue_id="4X")
    log.check_failed("spf", "broken")
    log.warning("store", "is full")
    log.info("worker", "ready pid=1")
    assert lines(log, sink) == [
        "s1: connect: listener=smtp client=mail.example.org[192.0.2.1]",
        "s1: disconnect: listener=smtp messages=2 delay=1.500",
        's1: session error: reason="lost connection"',
        '4X: relay: relay=127.0.0.1:10026 delay=0.500 reply="250 2.0.0 Ok"',
        'warning: s1: next hop: relay=127.0.0.1:10026 stage=connect reason="Connection refused"',
        'warning: 4X: check failed: check=spf reason="timed out after 10s"',
        "warning: check failed: check=spf reason=broken",
        "warning: store: is full",
        "worker: ready pid=1",
    ]
    assert [line.level for line in sink.lines][-2:] == [Level.WARNING, Level.INFO]


def test_an_internal_error_says_where_it_was_raised(log_and_sink):
    log, sink = log_and_sink
    try:
        raise ValueError("bad\nvalue")
    except ValueError as error:
        log.internal_error("4X", error)
    (line,) = lines(log, sink)
    assert re.fullmatch(r"error: 4X: ValueError at test_maillog\.py:\d+ in test_\w+: bad\\x0avalue", line)
    assert sink.lines[0].level is Level.ERROR


def test_a_check_logs_in_printf_style_and_cannot_break_it(log_and_sink):
    log, sink = log_and_sink
    check_log = log.for_check("dnslists")
    check_log.warning("list %s is off for %d s", "bl.example", 60)
    check_log.info("100% sure")
    check_log.info("wrong %d", "x")
    check_log.info("missing %s")
    assert lines(log, sink) == [
        "warning: check dnslists: list bl.example is off for 60 s",
        "check dnslists: 100% sure",
        "check dnslists: wrong %d ('x',)",
        "check dnslists: missing %s",
    ]


def test_no_event_lets_untrusted_text_through(log_and_sink):
    """Each untrusted field holds a forged line with control characters and all separators."""
    log, sink = log_and_sink
    scan(
        log,
        session=EVIL,
        queue_id=EVIL,
        client=EVIL,
        client_name=EVIL,
        helo=EVIL,
        user=EVIL,
        mail_from=EVIL,
        rcpt_to=(EVIL, EVIL),
        message_id=EVIL,
        reply=EVIL,
        note=EVIL,
        symbols=(ScoredSymbol("A", 1.0, (EVIL,), EVIL),),
    )
    log.connect(EVIL, EVIL, EVIL, EVIL)
    log.disconnect(EVIL, EVIL)
    log.session_error(EVIL, EVIL)
    log.relay(EVIL, next_hop=EVIL, reply=EVIL, queue_id=EVIL)
    log.next_hop_error(EVIL, stage=EVIL, reason=EVIL, next_hop=EVIL)
    log.check_failed(EVIL, EVIL, queue_id=EVIL)
    log.internal_error(EVIL, ValueError(EVIL))
    log.warning(EVIL, EVIL)
    log.info(EVIL, EVIL)
    log.for_check("x").warning(EVIL.replace("%", "") + "%s", EVIL)
    written = lines(log, sink)
    assert len(written) == 11
    for line in written:
        assert line.splitlines() == [line]
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", line)
        assert not line.startswith("4Abc")
    assert written[0].count(" from=<") == 1 + len(re.findall(r'"[^"]* from=<[^"]*"', written[0]))


def test_passwords_and_bodies_have_no_parameter():
    """There is no way to hand the log a password or a body: no method takes one."""
    import inspect

    from filterproxy.observability.maillog import MailLog

    names = {
        parameter
        for _, method in inspect.getmembers(MailLog, inspect.isfunction)
        for parameter in inspect.signature(method).parameters
    }
    assert not names & {"password", "body", "raw", "message", "text_body", "credentials"}


def test_to_a_file(tmp_path):
    log = open_maillog("mail.log", tmp_path)
    log.info("worker", "ready")
    log.close()
    text = (tmp_path / "mail.log").read_text()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d \S+ filterproxy\[\d+\]: worker: ready\n", text
    )
    assert (tmp_path / "mail.log").stat().st_mode & 0o007 == 0


def test_a_file_that_cannot_be_opened_stops_the_start(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        open_maillog(str(tmp_path / "no" / "mail.log"))


def test_a_file_that_was_rotated_away_is_opened_anew(tmp_path):
    path = tmp_path / "mail.log"
    log = open_maillog(str(path))
    log.info("a", "before")
    assert log.flush()
    path.rename(tmp_path / "mail.log.1")
    log.info("a", "after")
    assert log.flush()
    log.reopen()
    log.info("a", "asked")
    log.close()
    assert (tmp_path / "mail.log.1").read_text().endswith("a: before\n")
    assert [line.rpartition(": ")[2] for line in path.read_text().splitlines()] == ["after", "asked"]


def test_reopening_a_file_whose_folder_is_gone_harms_nobody(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    log = open_maillog(str(folder / "mail.log"))
    (folder / "mail.log").unlink()
    folder.rmdir()
    log.reopen()
    log.info("a", "lost")
    assert log.flush()
    folder.mkdir()
    log.info("a", "kept")
    assert log.flush()
    assert log.dropped == 1
    assert "a: kept" in (folder / "mail.log").read_text()
    log.close()


def test_to_standard_error(capsys, monkeypatch):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    log = open_maillog("stderr")
    log.warning("a", "b")
    log.close()
    assert capsys.readouterr().err.endswith("]: warning: a: b\n")


def test_under_systemd_lines_carry_their_level(capsys, monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    log = open_maillog("stderr")
    log.warning("a", "b")
    log.info("a", "c")
    log.close()
    assert capsys.readouterr().err == "<4>warning: a: b\n<6>a: c\n"


def test_to_syslog(monkeypatch):
    written = []
    monkeypatch.setattr("syslog.syslog", lambda level, text: written.append((level, text)))
    log = open_maillog("syslog")
    log.warning("a", "b\x00c")
    log.close()
    assert written == [(4, r"warning: a: b\x00c")]


async def test_a_stuck_destination_does_not_hold_the_event_loop(log_and_sink):
    log, sink = log_and_sink
    sink.gate.clear()
    for number in range(25_000):
        log.info("flood", str(number))
    await asyncio.sleep(0)
    assert log.dropped >= 25_000 - 2 * 10_000 - 1
    sink.gate.set()
    assert log.flush()
    # Whether the writer sees one gap or two is a matter of when it wakes; every lost line is told once.
    told = [re.fullmatch(r"warning: log: (\d+) lines were lost", line) for line in sink.warnings]
    assert sum(int(found[1]) for found in told if found) == log.dropped
    assert len(sink.lines) + log.dropped == 25_000 + len(sink.warnings)


def test_a_broken_destination_is_counted_and_told_when_it_works_again(log_and_sink):
    log, sink = log_and_sink
    counted = []
    log.on_lost(counted.append)
    sink.broken = OSError(28, "No space left on device")
    log.info("a", "lost")
    assert log.flush()
    assert log.dropped == 1
    assert counted == [1]
    sink.broken = None
    log.info("a", "kept")
    assert log.flush()
    assert sink.texts == ["a: kept", "warning: log: 1 lines were lost"]


def test_a_closed_standard_error_harms_nobody(monkeypatch):
    class Closed:
        def write(self, text):
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stderr", Closed())
    log = open_maillog("stderr")
    log.info("a", "b")
    assert log.flush()
    assert log.dropped == 1
    log.close()


def test_closing_twice_and_logging_after_closing(log_and_sink):
    log, sink = log_and_sink
    log.info("a", "b")
    log.close()
    log.info("a", "too late")
    log.close()
    assert sink.texts == ["a: b"]
    assert sink.closed
