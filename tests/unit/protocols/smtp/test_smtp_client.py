"""The client's side: replies, the state table, pipelining, LMTP."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.client import SmtpClient, State
from filterproxy.protocols.smtp.commands import Path
from filterproxy.protocols.smtp.extensions import Extensions, Offer, announced
from filterproxy.protocols.smtp.parameters import MAIL_PARAMETERS, parse_parameters
from filterproxy.protocols.smtp.reply_reader import ReplyReader

EHLO_REPLY = b"250-hop.example\r\n250-SIZE 1000\r\n250-8bitmime\r\n250-XFORWARD NAME addr\r\n250 DSN\r\n"
A, B = Path("a@example.org", b"a@example.org"), Path("b@example.org", b"b@example.org")


def ready(**options: bool) -> SmtpClient:
    client = SmtpClient(**options)
    client.receive(b"220 hop\r\n")
    client.ehlo("mx.example.org")
    client.receive(EHLO_REPLY)
    assert client.idle
    return client


def in_transaction(**options: bool) -> SmtpClient:
    client = ready(**options)
    client.mail(A)
    client.receive(b"250 ok\r\n")
    client.rcpt(B)
    client.receive(b"250 ok\r\n")
    return client


class TestReplyReader:
    @pytest.mark.parametrize("step", [1, 2, 1000])
    def test_replies_whatever_the_pieces(self, step: int) -> None:
        octets = EHLO_REPLY + b"250 2.1.0 Ok\r\n354\r\n550-a\r\n550-\r\n550 b\r\n250 bare\n250 \xff\x1b[1m\r\n"
        reader, replies = ReplyReader(), []
        for at in range(0, len(octets), step):
            replies += reader.feed(octets[at : at + step])
        assert replies == [
            Reply(250, ("hop.example", "SIZE 1000", "8bitmime", "XFORWARD NAME addr", "DSN")),
            Reply(250, ("2.1.0 Ok",)),
            Reply(354, ("",)),
            Reply(550, ("a", "", "b")),
            Reply(250, ("bare",)),
            Reply(250, ("\udcff\x1b[1m",)),
        ]
        assert not reader.incomplete

    @pytest.mark.parametrize(
        "octets",
        [
            b"\r\n",
            b"ok\r\n",
            b"25\r\n",
            b"2500 ok\r\n",
            b"199 ok\r\n",
            b"650 ok\r\n",
            b"250_ok\r\n",
            b"250-a\r\n251 b\r\n",
            b"250-a\r\n" * 201,
            b"250 " + b"x" * 5000 + b"\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\xff\xfe\r\n",
        ],
    )
    def test_what_is_no_reply(self, octets: bytes) -> None:
        with pytest.raises(RemoteProtocolError):
            ReplyReader().feed(octets)

    def test_an_endless_line_takes_no_memory(self) -> None:
        reader = ReplyReader()
        for _ in range(1000):
            reader.feed(b"x" * 1000)
        assert len(reader._lines) <= 4096

    def test_a_truncated_reply_is_none(self) -> None:
        reader = ReplyReader()
        assert reader.feed(b"250-a\r\n250 b\r") == []
        assert reader.incomplete

    @given(st.binary(max_size=100), st.integers(1, 10))
    def test_no_octets_raise_anything_else(self, octets: bytes, step: int) -> None:
        reader = ReplyReader()
        try:
            for at in range(0, len(octets), step):
                for reply in reader.feed(octets[at : at + step]):
                    assert 200 <= reply.code < 600
        except RemoteProtocolError as error:
            assert error.reason


class TestExtensions:
    def test_keywords(self) -> None:
        extensions = ready().extensions
        assert "8BITMIME" in extensions
        assert "PIPELINING" not in extensions
        assert extensions.size == 1000
        assert extensions.xforward == {"NAME", "ADDR"}

    @pytest.mark.parametrize(("size", "value"), [("", 0), ("0", 0), ("x", 0), ("-1", 0), ("9" * 30, 0), ("²", 0)])
    def test_sizes_that_say_nothing(self, size: str, value: int) -> None:
        assert Extensions({"SIZE": size}).size == value

    def test_we_announce_what_the_next_hop_takes(self) -> None:
        hop = Extensions({"SIZE": "100", "8BITMIME": "", "CHUNKING": "", "STARTTLS": "", "AUTH": "PLAIN", "DSN": ""})
        assert announced(hop, Offer(size=1000)) == ("PIPELINING", "SIZE 100", "8BITMIME", "DSN", "CHUNKING")
        assert announced(hop, Offer(size=10))[1] == "SIZE 10"
        assert announced(Extensions(), Offer(forwards=True)) == (
            "PIPELINING",
            "SIZE",
            "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
            "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
        )

    def test_tls_and_auth_are_our_own(self) -> None:
        hop = Extensions({"STARTTLS": "", "AUTH": "PLAIN CRAM-MD5"})
        assert announced(hop, Offer()) == ("PIPELINING", "SIZE")
        assert announced(hop, Offer(tls=True)) == ("PIPELINING", "SIZE", "STARTTLS")
        assert announced(hop, Offer(mechanisms={"PLAIN", "LOGIN"})) == ("PIPELINING", "SIZE", "AUTH LOGIN PLAIN")


class TestClient:
    def test_a_session(self) -> None:
        client = SmtpClient()
        assert client.state is State.GREETING
        client.receive(b"220 hop\r\n")
        assert client.ehlo("mx.example.org") == b"EHLO mx.example.org\r\n"
        client.receive(EHLO_REPLY)
        assert client.xforward(b"XFORWARD ADDR=192.0.2.1") == b"XFORWARD ADDR=192.0.2.1\r\n"
        client.receive(b"550 no\r\n")
        parameters = parse_parameters(b" SIZE=5 SMTPUTF8 RET=FULL", MAIL_PARAMETERS)
        assert client.mail(A, parameters) == b"MAIL FROM:<a@example.org> SIZE=5 RET=FULL\r\n"
        client.receive(b"250 ok\r\n")
        assert client.rcpt(B) == b"RCPT TO:<b@example.org>\r\n"
        client.receive(b"250 ok\r\n")
        assert client.data() == b"DATA\r\n"
        client.receive(b"354 go\r\n")
        assert b"".join(client.message([b".a\r\n"])) == b"..a\r\n.\r\n"
        assert client.receive(b"250 queued\r\n") == [Reply(250, ("queued",))]
        assert client.idle
        assert client.quit() == b"QUIT\r\n"
        client.receive(b"221 bye\r\n")
        assert client.state is State.CLOSED

    def test_the_null_sender_and_a_source_route(self) -> None:
        client = ready()
        assert client.mail(Path("", b"")) == b"MAIL FROM:<>\r\n"
        client.receive(b"250 ok\r\n")
        assert client.rcpt(Path("a@b", b"@c:a@b")) == b"RCPT TO:<@c:a@b>\r\n"

    def test_helo_when_ehlo_is_unknown(self) -> None:
        client = SmtpClient()
        client.receive(b"220 hop\r\n")
        client.ehlo("mx")
        client.receive(b"502 what?\r\n")
        assert client.state is State.HELLO
        assert client.helo("mx") == b"HELO mx\r\n"
        client.receive(b"250 hop\r\n")
        assert client.idle

    def test_refusals_move_nothing(self) -> None:
        client = ready()
        client.mail(A)
        client.receive(b"550 no\r\n")
        assert client.idle
        client = in_transaction()
        client.rcpt(B)
        client.receive(b"450 no\r\n")
        client.data()
        client.receive(b"451 no\r\n")
        assert client.state is State.TRANSACTION
        assert client.recipients == 1
        client.rset()
        client.receive(b"250 ok\r\n")
        assert client.idle

    def test_commands_out_of_order_are_our_bugs(self) -> None:
        for build in (
            lambda client: client.data(),
            lambda client: client.rcpt(A),
            lambda client: client.message([]),
        ):
            with pytest.raises(LocalProtocolError):
                build(ready())
        for build in (
            lambda client: client.mail(A),
            lambda client: client.xforward(b"XFORWARD"),
            lambda client: client.message([]),
        ):
            with pytest.raises(LocalProtocolError):
                build(in_transaction())
        with pytest.raises(LocalProtocolError):
            SmtpClient().ehlo("mx")

    def test_a_refused_command_leaves_nothing_waiting(self) -> None:
        client = in_transaction()
        with pytest.raises(LocalProtocolError):
            client.xforward(b"XFORWARD A=\r\nB")
        client.rset()
        client.receive(b"250 ok\r\n")
        assert client.idle

    def test_pipelining(self) -> None:
        client = ready()
        sent = client.mail(A) + client.rcpt(A) + client.rcpt(B) + client.data()
        assert sent.count(b"\r\n") == 4
        with pytest.raises(LocalProtocolError):
            client.message([])
        replies = client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n")
        assert [reply.code for reply in replies] == [250, 250, 550, 354]
        client.message([b"a\r\n"])
        client.receive(b"250 queued\r\n")
        assert client.idle

    def test_pipelining_on_a_refused_sender(self) -> None:
        client = ready()
        client.mail(A)
        client.rcpt(A)
        client.data()
        client.receive(b"550 no\r\n503 need MAIL\r\n503 need RCPT\r\n")
        assert client.idle

    def test_lmtp_answers_for_each_recipient(self) -> None:
        client = ready(lmtp=True)
        assert SmtpClient(lmtp=True).state is State.GREETING
        client.mail(A)
        client.receive(b"250 ok\r\n")
        for reply in (b"250 ok\r\n", b"550 no\r\n", b"250 ok\r\n"):
            client.rcpt(B)
            client.receive(reply)
        client.data()
        client.receive(b"354 go\r\n")
        client.message([b"a\r\n"])
        assert len(client.receive(b"250 one\r\n")) == 1
        assert not client.idle
        assert len(client.receive(b"452 two\r\n")) == 1
        assert client.idle

    def test_lmtp_says_lhlo(self) -> None:
        client = SmtpClient(lmtp=True)
        client.receive(b"220 hop\r\n")
        assert client.ehlo("mx") == b"LHLO mx\r\n"

    def test_421_closes_at_any_time(self) -> None:
        client = ready()
        assert client.receive(b"421 going down\r\n") == [Reply(421, ("going down",))]
        assert client.state is State.CLOSED
        with pytest.raises(LocalProtocolError):
            client.mail(A)

    @pytest.mark.parametrize("octets", [b"250 what?\r\n", b"550 no\r\n"])
    def test_a_reply_to_no_command(self, octets: bytes) -> None:
        with pytest.raises(RemoteProtocolError):
            ready().receive(octets)

    def test_replies_of_the_wrong_kind(self) -> None:
        client = ready()
        client.mail(A)
        with pytest.raises(RemoteProtocolError):
            client.receive(b"354 go\r\n")
        client = in_transaction()
        client.data()
        with pytest.raises(RemoteProtocolError):
            client.receive(b"250 queued already\r\n")
        client = in_transaction()
        client.data()
        client.receive(b"354 go\r\n")
        client.message([])
        with pytest.raises(RemoteProtocolError):
            client.receive(b"354 more\r\n")

    @given(
        st.lists(st.sampled_from(["ehlo", "mail", "rcpt", "data", "message", "rset", "quit"])), st.integers(0, 2**16)
    )
    def test_whatever_is_tried_the_waiting_replies_match(self, commands: list[str], seed: int) -> None:
        client = ready()
        bits = itertools.cycle(bool(seed >> bit & 1) for bit in range(16))
        for name in commands:
            try:
                match name:
                    case "ehlo":
                        client.ehlo("mx")
                    case "mail" | "rcpt":
                        getattr(client, name)(A)
                    case "message":
                        client.message([b"x\r\n"])
                    case _:
                        getattr(client, name)()
            except LocalProtocolError:
                continue
            good = next(bits)
            if client.state is not State.CLOSED:
                answer = b"354 go\r\n" if name == "data" and good else b"250 ok\r\n" if good else b"550 no\r\n"
                client.receive(answer)
                assert not client._waiting
