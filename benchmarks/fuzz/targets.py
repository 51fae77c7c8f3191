"""What is fuzzed: each target takes octets and raises only when a promise is broken.

The errors that a decoder is meant to raise are part of its interface and are swallowed here; all others are findings.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filterproxy.core.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.message import Message
from filterproxy.pipeline.edits import HeaderEdits
from filterproxy.protocols.milter import commands as milter_commands
from filterproxy.protocols.milter.connection import MilterConnection
from filterproxy.protocols.milter.options import Actions, Options, Steps, Wishes
from filterproxy.protocols.milter.replies import Continue, decode_reply
from filterproxy.protocols.policy import RequestReader
from filterproxy.protocols.policy import answer as policy_answer
from filterproxy.protocols.smtp import events
from filterproxy.protocols.smtp.blemishes import blemishes, normalize_newlines
from filterproxy.protocols.smtp.client import SmtpClient
from filterproxy.protocols.smtp.commands import Path as MailPath
from filterproxy.protocols.smtp.lines import LineBuffer, encode_stream
from filterproxy.protocols.smtp.reading import DataReader, MemoryBody
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.server import Permissions, SmtpServer
from filterproxy.ruleset.loader import load

Target = Callable[[bytes], None]
_PATH = MailPath("a@example.org", b"a@example.org")
_PERMISSIONS = (
    lambda: Permissions(),
    lambda: Permissions(forwards=True, tls=True, mechanisms=frozenset({"PLAIN", "LOGIN"})),
    lambda: Permissions(bare_newlines=True, bounce_free=True),
    lambda: Permissions(lmtp=True, forwards=True),
)


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut octets as a network may: the first octet says how."""
    step = data[0] % 32 + 1 if data else 1
    for start in range(1, len(data), step):
        yield data[start : start + step]


def smtp_server(data: bytes) -> None:
    """Play a client's octets to the server's state machine: nothing but Refused, and a reply of SMTP for each."""
    server = SmtpServer(_PERMISSIONS[(data[0] if data else 0) % len(_PERMISSIONS)]())
    lines = LineBuffer(2048)
    for piece in _pieces(data):
        lines.feed(piece)
        while (line := lines.next_line()) is not None:
            try:
                event = server.receive(line, more=bool(lines))
            except Refused as refused:
                assert refused.reply.code >= 400, refused.reply
                if refused.close:
                    return
                continue
            if _grant(server, event):
                _message(lines.take())
                return


def _grant(server: SmtpServer, event: events.Event) -> bool:
    """Answer as a shell does that allows everything; tell whether the message follows."""
    match event:
        case events.Hello():
            server.greeted(event)
        case events.StartTls() | events.Introduce():
            server.begin_anew()
        case events.Forward():
            server.told(event)
        case events.Mail():
            server.mail_accepted()
        case events.Rcpt():
            server.rcpt_answered(Reply.of(250, "2.1.5", "Ok"))
        case events.Chunk():
            server.chunk_taken()
        case events.Reset():
            server.end_transaction()
        case events.Data():
            return True
    return False


def _message(octets: bytes) -> None:
    """Read a message after DATA: what goes on holds no end of data but its own, however the octets came."""
    body = MemoryBody()
    reader = DataReader(10_000, body)
    for piece in _pieces(octets):
        if reader.feed(piece) is not None:
            break
    else:
        return
    raw = body.whole()
    blemishes(raw, 1000)
    clean = normalize_newlines(raw)
    sent = b"".join(encode_stream([clean]))
    assert sent.endswith(b"\r\n.\r\n") or sent == b".\r\n", sent
    assert sent[:-5].find(b"\r\n.\r\n") < 0, sent
    assert not set(sent.replace(b"\r\n", b"")) & {10, 13}, sent


def smtp_client(data: bytes) -> None:
    """Play a server's octets to the client's state machine while it tries to send a message."""
    client = SmtpClient(lmtp=bool(data) and data[0] % 2 == 1)
    steps: list[Callable[[], object]] = [
        lambda: client.ehlo("mx.example.org"),
        lambda: client.auth(b"PLAIN AGEAYg=="),
        lambda: client.xforward(b"XFORWARD ADDR=192.0.2.1"),
        lambda: client.mail(_PATH),
        lambda: client.rcpt(_PATH),
        client.data,
        lambda: list(client.message([b"x\r\n"])),
        client.rset,
        client.quit,
    ]
    for piece in _pieces(data):
        try:
            for reply in client.receive(piece):
                assert 200 <= reply.code < 600, reply
        except RemoteProtocolError:
            return
        while steps:
            try:
                steps[0]()
            except LocalProtocolError:
                break
            steps.pop(0)


def milter(data: bytes) -> None:
    """Play an MTA's octets to the milter connection; read the same octets as replies."""
    steps = Steps(0) if data[:1] < b"\x80" else Steps.NR_HEADER | Steps.NR_BODY | Steps.SKIP
    connection = MilterConnection(Wishes(Actions.ADD_HEADERS, Actions.QUARANTINE, steps), frame_limit=70_000)
    offer = milter_commands.Negotiate(Options(6, Actions(0x1FF), Steps(0x1FFFFF))).encode()
    for piece in (offer, *_pieces(data)):
        connection.receive_data(piece)
        try:
            while (command := connection.next_command()) is not None:
                if isinstance(command, milter_commands.Negotiate):
                    connection.accept_offer(command)
                elif connection.awaits_reply:
                    connection.send(Continue())
        except RemoteProtocolError:
            break
    try:
        reply = decode_reply(data[:1], data[1:])
        reply.encode()
    except (RemoteProtocolError, LocalProtocolError):
        return


def mime(data: bytes) -> None:
    """Read everything of a message; edit its header."""
    message = Message(data)
    for field in ("From", "To", "Reply-To", "Received"):
        message.addresses(field)
    assert isinstance(message.subject, str)
    assert isinstance(message.message_id, str)
    _ = message.date, message.text, message.language, message.urls, message.defects
    for document in message.html:
        _ = document.visible
    for attachment in message.attachments:
        _ = attachment.filename
    HeaderEdits((("x-spam-flag", 1),), (("Subject", 1, "x"),), (("X-Spam-Status", "No"),)).apply(data)


_FOLDER = tempfile.TemporaryDirectory(prefix="filterproxy-fuzz-")


def rules(data: bytes) -> None:
    """Load a rules file: rules, or a ConfigError that says where."""
    file = Path(_FOLDER.name) / "rules.yml"
    file.write_bytes(data)
    try:
        load([file], file.parent)
    except ConfigError as error:
        assert str(error)


def policy(data: bytes) -> None:
    """Read requests of Postfix's policy protocol: nothing in them adds a line to an answer."""
    requests = RequestReader(line_length=512, attributes=30)
    for piece in _pieces(data):
        requests.feed(piece)
        try:
            while (request := requests.next_request()) is not None:
                answer = policy_answer("REJECT", request["sender"])
                assert answer.count(b"\n") == 2 and answer.endswith(b"\n\n"), answer
        except RemoteProtocolError:
            return


TARGETS: Mapping[str, Target] = {
    target.__name__.replace("_", "-"): target for target in (smtp_server, smtp_client, milter, mime, rules, policy)
}
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "policy": (b"\x1frequest=smtpd_access_policy\nprotocol_state=RCPT\nsender=a@b\nrecipient=c@d\n\nrequest=x\n\n",),
    "smtp-server": (
        b"\x00EHLO a\r\nMAIL FROM:<a@b> SIZE=10\r\nRCPT TO:<c@d>\r\nDATA\r\n\x05x: y\r\n\r\nz\r\n.\r\n",
        b"\x01EHLO a\r\nXFORWARD ADDR=192.0.2.1 NAME=x\r\nXCLIENT LOGIN=a\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\n",
        b'\x03LHLO a\r\nMAIL FROM:<> RET=HDRS\r\nRCPT TO:<"a b"@c> NOTIFY=NEVER\r\nBDAT 3 LAST\r\nabc',
    ),
    "smtp-client": (
        b"\x1f220 a\r\n250-a\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
    ),
    "milter": tuple(
        b"\x00" + b"".join(command.encode() for command in commands)
        for commands in (
            [
                milter_commands.Connect("a", "4", 25, "192.0.2.1"),
                milter_commands.Helo("a"),
                milter_commands.Mail(("<a>",)),
            ],
            [
                milter_commands.Connect("a", "U"),
                milter_commands.Macros("M", {"i": "4X"}),
                milter_commands.Mail(("<a>",)),
                milter_commands.Rcpt(("<b>",)),
                milter_commands.Header(b"a", b"b"),
                milter_commands.EndOfHeaders(),
                milter_commands.Body(b"x"),
                milter_commands.EndOfMessage(),
            ],
        )
    ),
    "mime": (
        b"From: =?utf-8?q?a?= <a@b>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"PGEgaHJlZj0iaHR0cDovL2IiPmE8L2E+\r\n--x--\r\n",
        b"Subject: =?iso-8859-1?b?YQ==?=\nContent-Disposition: attachment; filename*0*=utf-8''a; filename*1=b\n"
        b"\nhttp://a.example/\n",
    ),
    "rules": (
        b"rules:\n- name: A\n  score: 1\n  description: d\n  match: {body: {regex: 'a+b'}}\n  tests: {match: [ab]}\n",
        b"composites:\n- {name: C, score: 1, all: [A, B]}\nlists: {l: [a]}\n",
    ),
}
