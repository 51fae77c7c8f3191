"""The client's side of STARTTLS, AUTH and XCLIENT, and what any server may do to it."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.client import SmtpClient, State
from filterproxy.protocols.smtp.commands import Path
from filterproxy.protocols.smtp.extensions import Extensions
from filterproxy.protocols.smtp.sasl import Exchange, choose, decode, masked, with_password, with_token
from filterproxy.protocols.smtp.xforward import CLIENT_ATTRIBUTES, parse_xclient, xclient_commands

A = Path("a@example.org", b"a@example.org")


def ready() -> SmtpClient:
    client = SmtpClient()
    client.receive(b"220 hop\r\n")
    client.ehlo("mx")
    client.receive(b"250-hop\r\n250-STARTTLS\r\n250-XCLIENT ADDR\r\n250 AUTH PLAIN LOGIN\r\n")
    return client


class TestStartTls:
    def test_what_was_said_before_does_not_count(self) -> None:
        client = ready()
        assert client.starttls() == b"STARTTLS\r\n"
        assert client.receive(b"220 go\r\n") == [Reply(220, ("go",))]
        assert client.state is State.TLS
        assert not client.idle
        client.tls_started()
        assert (client.state, client.extensions) == (State.HELLO, Extensions())
        client.ehlo("mx")
        client.receive(b"250 hop\r\n")
        assert client.idle

    @pytest.mark.parametrize(
        "octets", [b"220 go\r\n250 more\r\n", b"220 go\r\n2", b"220 go\r\n421 bye\r\n", b"220 go\n220-x\r\n"]
    )
    @pytest.mark.parametrize("step", [1, 1000])
    def test_octets_after_the_reply_break_the_dialogue(self, octets: bytes, step: int) -> None:
        client = ready()
        client.starttls()
        with pytest.raises(RemoteProtocolError, match="plain text"):
            for at in range(0, len(octets), step):
                client.receive(octets[at : at + step])

    def test_a_refusal_changes_nothing(self) -> None:
        client = ready()
        client.starttls()
        client.receive(b"454 not now\r\n")
        assert client.idle
        assert "STARTTLS" in client.extensions

    def test_nothing_follows_it_unanswered(self) -> None:
        client = ready()
        client.starttls()
        with pytest.raises(LocalProtocolError, match="MAIL must wait for the reply to STARTTLS"):
            client.mail(A)
        client.receive(b"220 go\r\n")
        with pytest.raises(LocalProtocolError):
            client.mail(A)
        with pytest.raises(LocalProtocolError, match="TLS is not expected"):
            ready().tls_started()


class TestAuth:
    def test_a_dialogue(self) -> None:
        client = ready()
        assert client.auth(b"LOGIN") == b"AUTH LOGIN\r\n"
        client.receive(b"334 VXNlcm5hbWU6\r\n")
        assert client.state is State.AUTH
        assert not client.idle
        assert client.auth_response(b"YQ==") == b"YQ==\r\n"
        client.receive(b"334 UGFzc3dvcmQ6\r\n")
        client.auth_response(b"Yg==")
        client.receive(b"235 2.7.0 welcome\r\n")
        assert client.idle
        assert client.authenticated

    @pytest.mark.parametrize("reply", [b"535 5.7.8 no\r\n", b"454 4.7.0 later\r\n"])
    def test_a_refusal(self, reply: bytes) -> None:
        client = ready()
        client.auth(b"PLAIN AGEAYg==")
        client.receive(reply)
        assert client.idle
        assert not client.authenticated

    def test_order(self) -> None:
        client = ready()
        with pytest.raises(LocalProtocolError):
            client.auth_response(b"YQ==")
        client.auth(b"LOGIN")
        with pytest.raises(LocalProtocolError):
            client.mail(A)
        client.receive(b"334 \r\n")
        with pytest.raises(LocalProtocolError):
            client.mail(A)
        with pytest.raises(LocalProtocolError):
            client.auth(b"PLAIN")
        with pytest.raises(LocalProtocolError, match="CR, LF or NUL"):
            client.auth_response(b"YQ==\r\nMAIL")


class TestXclient:
    def test_the_session_starts_over(self) -> None:
        client = ready()
        client.xclient(b"XCLIENT ADDR=192.0.2.1")
        client.receive(b"220 hop\r\n")
        assert client.state is State.HELLO
        client.xclient(b"XCLIENT ADDR=192.0.2.1")
        client.receive(b"550 no\r\n")
        assert client.state is State.HELLO
        client.ehlo("mx")
        client.receive(b"250 hop\r\n")
        assert client.idle

    @given(
        st.dictionaries(
            st.sampled_from(("NAME", "HELO", "LOGIN")),
            st.text(st.characters(min_codepoint=0x20, exclude_categories=("Cs", "Cc")), max_size=255),
        )
    )
    def test_what_is_sent_can_be_read(self, attributes: dict[str, str]) -> None:
        commands = xclient_commands(attributes, CLIENT_ATTRIBUTES)
        assert all(len(command) <= 510 for command in commands)
        told: dict[str, str] = {}
        for command in commands:
            told |= parse_xclient(command.removeprefix(b"XCLIENT"))
        for name, value in attributes.items():
            unknown = value.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]") or (name == "NAME" and value == "unknown")
            assert told[name] in ("" if unknown else value, "")


class TestSasl:
    def test_plain_and_login(self) -> None:
        assert with_password("PLAIN", "ann", "pä ss").command() == b"PLAIN " + b64encode("\0ann\0pä ss".encode())
        login = with_password("LOGIN", "ann", "pw")
        assert (login.command(), login.response(0), login.response(1), login.response(2)) == (
            b"LOGIN",
            b"YW5u",
            b"cHc=",
            b"*",
        )

    def test_tokens(self) -> None:
        exchange = with_token("XOAUTH2", "a@b.example", "tok")
        assert b64decode(exchange.command().split()[1]) == b"user=a@b.example\1auth=Bearer tok\1\1"
        assert (exchange.response(0), exchange.response(1)) == (b"", b"*")
        exchange = with_token("OAUTHBEARER", "a,b=c@d", "tok", "mail.example", 587)
        assert b64decode(exchange.command().split()[1]) == (
            b"n,a=a=2Cb=3Dc@d,\1host=mail.example\1port=587\1auth=Bearer tok\1\1"
        )
        assert exchange.response(0) == b"AQ=="

    @pytest.mark.parametrize("token", ["a b", "a\1b", "a\r\nb", "é"])
    def test_what_is_no_token(self, token: str) -> None:
        with pytest.raises(ValueError, match="no access token"):
            with_token("XOAUTH2", "ann", token)

    @pytest.mark.parametrize(("line", "octets"), [(b"=", b""), (b"YQ==", b"a"), (b"", b"")])
    def test_decode(self, line: bytes, octets: bytes) -> None:
        assert decode(line) == octets

    @pytest.mark.parametrize("line", [b"Y", b"Y Q==", b"\xff"])
    def test_decode_nonsense(self, line: bytes) -> None:
        with pytest.raises(ValueError, match="no base64"):
            decode(line)

    def test_nul_cannot_be_sent(self) -> None:
        with pytest.raises(ValueError, match="NUL"):
            with_password("PLAIN", "ann", "a\0b")

    def test_the_best_is_chosen(self) -> None:
        assert choose({"LOGIN", "PLAIN", "CRAM-MD5"}, ("PLAIN", "LOGIN")) == "PLAIN"
        assert choose({"CRAM-MD5"}, ("PLAIN", "LOGIN")) is None

    @given(st.text(min_size=3, max_size=30), st.text(min_size=3, max_size=30), st.booleans())
    def test_no_reply_shows_a_secret(self, user: str, password: str, login: bool) -> None:
        if "\0" in user + password or any(0xD800 <= ord(char) < 0xE000 for char in user + password):
            return
        exchange = with_password("LOGIN" if login else "PLAIN", user, password)
        sent = [exchange.command().decode(), *(exchange.response(number).decode() for number in range(2))]
        secrets = exchange.secrets()
        shown = masked(" ".join(sent), secrets)
        assert b64encode(password.encode()).decode() not in shown
        if len(password) > 3:
            assert password not in masked(f"no: {password}!", secrets).replace("***", "")

    def test_an_exchange_without_anything(self) -> None:
        assert Exchange("X", b"").command() == b"X ="


@st.composite
def servers_octets(draw: st.DrawFn) -> list[bytes]:
    """Pieces of what a server may say: replies, broken replies, anything."""
    line = st.builds(
        lambda code, mark, text, end: b"%d%s%s%s" % (code, mark, text, end),
        st.sampled_from((220, 235, 250, 334, 354, 421, 450, 535, 550, 999, 25)),
        st.sampled_from((b" ", b"-", b"")),
        st.binary(max_size=20),
        st.sampled_from((b"\r\n", b"\n", b"", b"\r")),
    )
    return draw(st.lists(st.one_of(line, st.binary(max_size=40)), max_size=20))


COMMANDS = (
    lambda client: client.ehlo("mx"),
    lambda client: client.helo("mx"),
    lambda client: client.starttls(),
    lambda client: client.tls_started(),
    lambda client: client.auth(b"LOGIN"),
    lambda client: client.auth_response(b"YQ=="),
    lambda client: client.xclient(b"XCLIENT ADDR=192.0.2.1"),
    lambda client: client.xforward(b"XFORWARD ADDR=192.0.2.1"),
    lambda client: client.mail(A),
    lambda client: client.rcpt(A),
    lambda client: client.data(),
    lambda client: b"".join(client.message((b"body\r\n",))),
    lambda client: client.rset(),
    lambda client: client.quit(),
)


@given(servers_octets(), st.lists(st.sampled_from(COMMANDS), max_size=30), st.booleans(), st.randoms())
def test_whatever_a_server_says(pieces: list[bytes], commands: list, lmtp: bool, random) -> None:
    """Any order of commands and octets: only our own two errors, no negative count, at most one reply a command."""
    client = SmtpClient(lmtp=lmtp)
    steps = [("say", piece) for piece in pieces] + [("do", command) for command in commands]
    random.shuffle(steps)
    asked, heard = 1, 0
    for kind, step in steps:
        try:
            if kind == "say":
                heard += len(client.receive(step))
            else:
                step(client)
                asked += 1 + client.recipients
        except RemoteProtocolError:
            return
        except LocalProtocolError:
            continue
        assert client.recipients >= 0
        assert heard <= asked + 1
        assert not (client.idle and client.state is not State.READY)


@given(st.binary(max_size=200), st.integers(1, 7))
def test_the_pieces_do_not_matter(octets: bytes, step: int) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[Reply], str]:
        client, replies = ready(), []
        client.mail(A)
        try:
            for piece in pieces:
                replies += client.receive(piece)
        except RemoteProtocolError:
            return [], "broken"
        return replies, client.state.name

    stream = b"250 " + octets
    whole = outcome([stream])
    cut = outcome([stream[at : at + step] for at in range(0, len(stream), step)])
    assert whole == cut or "broken" in (whole[1], cut[1])
