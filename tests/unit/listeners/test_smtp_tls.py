"""TLS and AUTH on the SMTP listener: with real handshakes on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from filterproxy.core.errors import ConfigError
from tests.certificates import Certificates, make_certificates
from tests.dialogs.smtp_dialog import smtp_context
from tests.dialogs.smtp_peers import DEADLINE, Client, proxy, sink

JOE = base64.b64encode(b"\0joe@example.org\0secret").decode()
WRONG = base64.b64encode(b"\0joe@example.org\0Secret").decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("auth") / "passwords"
    hashed = PasswordHasher(time_cost=1, memory_cost=1024).hash("secret")
    path.write_text(f"# users\n\njoe@example.org:{{ARGON2ID}}{hashed}\n")
    return path


def tls(certificates: Certificates, **more: Any) -> dict[str, Any]:
    return {"cert": str(certificates.cert), "key": str(certificates.key), **more}


def submission(certificates: Certificates, passwords: Path, **more: Any) -> dict[str, Any]:
    return {
        "tls": tls(certificates),
        "auth": {"source": "file", "file": str(passwords), **more},
        "limits": {"auth_delay": 0.01},
    }


async def upgrade(client: Client, certificates: Certificates) -> None:
    assert (await client.say("STARTTLS")).startswith("220 ")
    async with asyncio.timeout(DEADLINE):
        await client.writer.start_tls(certificates.client_context(), server_hostname="mx.example.org")


async def secure_client(port: int, certificates: Certificates) -> Client:
    client = await Client.connect(port)
    await client.hello()
    await upgrade(client, certificates)
    assert (await client.say("EHLO client.example")).startswith("250")
    return client


class TestTls:
    async def test_starttls(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates)) as running:
            client = await Client.connect(running.port)
            assert "STARTTLS" in await client.reply() + await client.say("EHLO client.example")
            await upgrade(client, certificates)
            assert (await client.say("MAIL FROM:<a@example.org>")).startswith("503 ")
            assert "STARTTLS" not in await client.say("EHLO client.example")
            assert (await client.say("STARTTLS")).startswith("502 ")
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
            session = running.pipeline.scans[0].transaction.session
            assert session.tls is not None and session.tls.version == "TLSv1.3" and session.tls.cipher
            assert session.protocol == "ESMTPS"
            assert (await client.say("QUIT")).startswith("221 ")

    async def test_implicit(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates, mode="implicit")) as running:
            opened = await asyncio.open_connection(
                "127.0.0.1", running.port, ssl=certificates.client_context(), server_hostname="mx.example.org"
            )
            client = Client(*opened)
            await client.hello()
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
            await client.close()

    async def test_implicit_behind_a_load_balancer(self, certificates: Certificates) -> None:
        """The PROXY header and the first octets of the handshake come in one piece."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        engine = certificates.client_context().wrap_bio(incoming, outgoing, server_hostname="mx.example.org")
        async with proxy(tls=tls(certificates, mode="implicit"), proxy_protocol=True) as running:
            client = await Client.connect(running.port)
            await client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 465\r\n" + handshake(engine, outgoing))
            while True:
                async with asyncio.timeout(DEADLINE):
                    incoming.write(await client.reader.read(65_536))
                await client.send(handshake(engine, outgoing))
                try:
                    assert engine.read(100).startswith(b"220 mx.example.org ESMTP")
                    break
                except ssl.SSLWantReadError:
                    continue
            (session,) = running.listener._shared.sessions
            assert session.mail_session.client.address == "192.0.2.7"

    async def test_a_stranger_sends_no_proxy_header(self) -> None:
        async with proxy(context=smtp_context(trusted=False), proxy_protocol=True) as running:
            client = await Client.connect(running.port)
            await client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n")
            assert await read_all(client) == b""

    async def test_nothing_that_was_sent_in_plain_text_runs_in_tls(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates)) as running:
            client = await running.client()
            assert (await client.say("STARTTLS\r\nMAIL FROM:<a@example.org>")).startswith("554 ")
            assert await client.reader.read() == b""
            assert not running.pipeline.scans

    async def test_plain_text_in_the_place_of_a_handshake(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates)) as running:
            client = await running.client()
            assert (await client.say("STARTTLS")).startswith("220 ")
            await client.send(b"EHLO again.example\r\nMAIL FROM:<a@example.org>\r\n" * 20)
            assert b"250" not in await read_all(client)
            assert not running.pipeline.scans
            await until_quiet(running)

    async def test_a_handshake_that_does_not_come(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates, handshake_timeout=0.2)) as running:
            client = await running.client()
            assert (await client.say("STARTTLS")).startswith("220 ")
            assert await read_all(client) == b""
            await until_quiet(running)

    async def test_a_client_that_leaves_in_the_handshake(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates)) as running:
            client = await running.client()
            assert (await client.say("STARTTLS")).startswith("220 ")
            await client.close()
            await until_quiet(running)

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
    async def test_old_versions_are_refused(self, certificates: Certificates) -> None:
        context = certificates.client_context()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        async with proxy(tls=tls(certificates, mode="implicit")) as running:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", running.port, ssl=context, server_hostname="mx.example.org")
            await until_quiet(running)

    async def test_mail_may_require_it(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates, required=True)) as running:
            client = await running.client()
            assert (await client.say("MAIL FROM:<a@example.org>")).startswith("530 5.7.0 Must issue")
            await upgrade(client, certificates)
            await client.say("EHLO client.example")
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")

    async def test_a_big_message(self, certificates: Certificates) -> None:
        async with proxy(tls=tls(certificates)) as running:
            client = await secure_client(running.port, certificates)
            body = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 100_000
            assert (await client.message(body + b".\r\n")).startswith("250 ")
            assert running.hop.accepted[0].raw + b"\r\n" == body

    async def test_a_reload_takes_the_new_certificate(self, certificates: Certificates, tmp_path: Path) -> None:
        mine = make_certificates(tmp_path, authority=certificates.authority)
        async with proxy(tls=tls(mine)) as running:
            before = await serial(running.port, certificates)
            assert await serial(running.port, certificates) == before
            mine.key.write_text("broken")
            with pytest.raises(ConfigError, match=r"not usable for TLS"):
                running.listener.reload()
            assert await serial(running.port, certificates) == before
            make_certificates(tmp_path, authority=certificates.authority)
            running.listener.reload()
            assert await serial(running.port, certificates) != before

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"cert": "missing.pem"}, "missing.pem: tls.cert: no such file"),
            ({"key": "missing.pem"}, "missing.pem: tls.key: no such file"),
            ({"key": "other.pem"}, "the key does not belong to the certificate"),
            ({"cert": "ca.txt", "key": None}, "not usable for TLS"),
        ],
    )
    async def test_files_that_cannot_be_used(
        self, certificates: Certificates, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        make_certificates(tmp_path / "x").key.rename(tmp_path / "other.pem")
        (tmp_path / "ca.txt").write_text("no certificate")
        paths = {name: str(tmp_path / value) if value else None for name, value in change.items()}
        with pytest.raises(ConfigError, match=message):
            async with proxy(tls=tls(certificates) | paths):
                pass


class TestAuthentication:
    async def test_plain(self, certificates: Certificates, passwords: Path) -> None:
        async with proxy(**submission(certificates, passwords)) as running:
            client = await secure_client(running.port, certificates)
            assert await client.say(f"AUTH PLAIN {JOE}") == "235 2.7.0 Authentication successful"
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("503 ")
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
            session = running.pipeline.scans[0].transaction.session
            assert (session.user, session.protocol) == ("joe@example.org", "ESMTPSA")

    async def test_plain_in_two_steps_and_login(self, certificates: Certificates, passwords: Path) -> None:
        async with proxy(**submission(certificates, passwords)) as running:
            for lines in (["AUTH PLAIN", JOE], ["AUTH LOGIN", b64("joe@example.org"), b64("secret")]):
                client = await secure_client(running.port, certificates)
                answers = [await client.say(line) for line in lines]
                assert [answer[:3] for answer in answers] == ["334"] * (len(lines) - 1) + ["235"]

    async def test_never_outside_tls(self, certificates: Certificates, passwords: Path) -> None:
        async with proxy(**submission(certificates, passwords)) as running:
            client = await Client.connect(running.port)
            assert "AUTH" not in await client.reply() + await client.say("EHLO client.example")
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("538 ")

    async def test_wrong_passwords(self, certificates: Certificates, passwords: Path) -> None:
        async with proxy(**submission(certificates, passwords)) as running:
            client = await secure_client(running.port, certificates)
            for attempt in (WRONG, b64("\0nobody\0secret"), b64("\0joe@example.org\0secret")):
                last = await client.say(f"AUTH PLAIN {attempt}")
                assert last[:3] == ("235" if attempt == JOE else "535")
            client = await secure_client(running.port, certificates)
            codes = [(await client.say(f"AUTH PLAIN {WRONG}"))[:3] for _ in range(3)]
            assert codes == ["535", "535", "421"]

    async def test_nonsense_and_second_thoughts(self, certificates: Certificates, passwords: Path) -> None:
        async with proxy(**submission(certificates, passwords)) as running:
            client = await secure_client(running.port, certificates)
            assert (await client.say("AUTH PLAIN")).startswith("334")
            assert await client.say("*") == "501 5.7.0 Authentication cancelled"
            assert (await client.say("AUTH LOGIN")).startswith("334 ")
            assert (await client.say("no base64!")).startswith("501 ")
            assert (await client.say("AUTH PLAIN AAAA")).startswith("501 ")
            assert (await client.say("AUTH CRAM-MD5")).startswith("504 ")
            assert (await client.say(f"AUTH PLAIN {b64('root' + chr(0) + 'joe@example.org' + chr(0) + 'secret')}"))[
                :3
            ] == "535"
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")

    async def test_lines_of_any_allowed_length(self, certificates: Certificates, passwords: Path) -> None:
        async with proxy(**submission(certificates, passwords)) as running:
            client = await secure_client(running.port, certificates)
            assert (await client.say("AUTH PLAIN " + b64("\0joe\0" + "x" * 9000))).startswith("535 ")
            assert (await client.say("AUTH PLAIN " + "A" * 12_300)).startswith("500 ")
            assert (await client.say("NOOP " + "A" * 3000)).startswith("500 ")
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")

    async def test_mail_may_require_it(self, certificates: Certificates, passwords: Path) -> None:
        async with proxy(**submission(certificates, passwords, required=True)) as running:
            client = await secure_client(running.port, certificates)
            assert (await client.say("MAIL FROM:<a@example.org>")).startswith("530 5.7.0 Authentication")
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")

    async def test_a_changed_password_counts_at_once(self, certificates: Certificates, tmp_path: Path) -> None:
        path, hasher = tmp_path / "passwords", PasswordHasher(time_cost=1, memory_cost=1024)
        path.write_text(f"joe@example.org:{hasher.hash('first')}\n")
        async with proxy(**submission(certificates, path)) as running:
            client = await secure_client(running.port, certificates)
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("535 ")
            path.write_text(f"joe@example.org:{hasher.hash('secret')}:and:more\n")
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")
            path.write_text("joe@example.org:secret\n")
            client = await secure_client(running.port, certificates)
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("454 ")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("joe:secret\n", r":1: auth.file: no argon2 hash here \(write user:\$argon2id"),
            (None, "No such file"),
            ("\xff", "cannot be read"),
        ],
    )
    async def test_a_file_that_cannot_be_used(
        self, certificates: Certificates, tmp_path: Path, text: str | None, message: str
    ) -> None:
        path = tmp_path / "passwords"
        if text is not None:
            path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ConfigError, match=message):
            async with proxy(**submission(certificates, path)):
                pass

    async def test_who_has_authenticated_may_relay(self, certificates: Certificates, passwords: Path) -> None:
        options = submission(certificates, passwords)
        async with proxy(context=smtp_context(trusted=False), **options) as running:
            client = await secure_client(running.port, certificates)
            await client.say("MAIL FROM:<a@example.org>")
            assert (await client.say("RCPT TO:<b@example.net>")).startswith("554 5.7.1 Relay")
            await client.say("RSET")
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")

    async def test_no_password_is_logged(self, certificates: Certificates, passwords: Path, tmp_path: Path) -> None:
        log = tmp_path / "log"
        context = smtp_context(log_to=str(log))
        async with proxy(context=context, **submission(certificates, passwords)) as running:
            client = await secure_client(running.port, certificates)
            await client.say(f"AUTH PLAIN {WRONG}")
            await client.say(f"AUTH PLAIN {JOE}")
        context.log.close()
        text = log.read_text()
        assert "auth: sasl_method=PLAIN sasl_username=joe@example.org client=unknown[127.0.0.1]" in text
        assert not any(secret in text for secret in ("ecret", JOE, WRONG))


def handshake(engine: ssl.SSLObject, outgoing: ssl.MemoryBIO) -> bytes:
    """Take the next step of a handshake and return the octets to send."""
    with contextlib.suppress(ssl.SSLWantReadError):
        engine.do_handshake()
    return outgoing.read()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def read_all(client: Client) -> bytes:
    async with asyncio.timeout(DEADLINE):
        try:
            return await client.reader.read()
        except ConnectionError:
            return b""


async def until_quiet(running: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        await running.listener._shared.idle.wait()


async def serial(port: int, certificates: Certificates) -> bytes:
    client = await secure_client(port, certificates)
    certificate = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    await client.close()
    return bytes(certificate)


class TestPassedOn:
    """`source: next_hop`: the next hop knows the passwords."""

    def options(self, certificates: Certificates, **more: Any) -> dict[str, Any]:
        return {"tls": tls(certificates), "auth": {"source": "next_hop"}, "limits": {"auth_delay": 0.01}, **more}

    async def test_the_dialogue_is_passed_on(self, certificates: Certificates) -> None:
        answers = {"AUTH": b"334 VXNlcm5hbWU6", b64("joe"): b"334 UGFzc3dvcmQ6", b64("secret"): b"235 2.7.0 welcome"}
        async with (
            sink(
                keywords=(b"AUTH PLAIN LOGIN DIGEST-MD5 SCRAM-SHA-256 SCRAM-SHA-1 SCRAM-SHA-1-PLUS",),
                answers=lower(answers),
            ) as hop,
            proxy(hop=hop, **self.options(certificates)) as running,
        ):
            client = await Client.connect(running.port)
            await client.hello()
            await upgrade(client, certificates)
            assert "250-AUTH LOGIN PLAIN SCRAM-SHA-256\n" in await client.say("EHLO client.example") + "\n"
            for line, answer in (("AUTH LOGIN", "334 VXNlcm5hbWU6"), (b64("joe"), "334 UGFzc3dvcmQ6")):
                assert await client.say(line) == answer
            assert await client.say(b64("secret")) == "235 2.7.0 welcome"
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
            assert running.pipeline.scans[0].transaction.session.user == "joe"
            assert hop.commands.index(b"AUTH LOGIN") < hop.commands.index(b"MAIL FROM:<a@example.org>")

    async def test_the_next_hops_no_is_the_clients(self, certificates: Certificates) -> None:
        async with (
            sink(keywords=(b"AUTH PLAIN",), answers={"AUTH": b"535 5.7.8 not you"}) as hop,
            proxy(hop=hop, **self.options(certificates)) as running,
        ):
            client = await secure_client(running.port, certificates)
            assert await client.say(f"AUTH PLAIN {JOE}") == "535 5.7.8 not you"
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
            assert running.pipeline.scans[0].transaction.session.user == ""

    async def test_an_authenticated_connection_serves_nobody_else(self, certificates: Certificates) -> None:
        async with (
            sink(keywords=(b"AUTH PLAIN",), answers={"AUTH": b"235 2.7.0 welcome"}) as hop,
            proxy(hop=hop, **self.options(certificates)) as running,
        ):
            for number in (1, 2):
                client = await secure_client(running.port, certificates)
                if number == 1:
                    assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")
                assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
                await client.say("QUIT")
            # One connection for each EHLO before TLS, one for each session in it.
            sessions = b"\n".join(hop.commands).split(b"QUIT")
            assert not any(b"AUTH" in session and session.count(b"MAIL FROM") > 1 for session in sessions)

    async def test_when_the_connection_is_gone_so_is_the_session(self, certificates: Certificates) -> None:
        async with (
            sink(keywords=(b"AUTH PLAIN",), answers={"AUTH": b"235 2.7.0 welcome", "RSET": None}) as hop,
            proxy(hop=hop, **self.options(certificates)) as running,
        ):
            client = await secure_client(running.port, certificates)
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")
            await client.say("MAIL FROM:<a@example.org>")
            await client.say("RSET")
            assert (await client.say("MAIL FROM:<a@example.org>")).startswith("421 ")

    async def test_nonsense_ends_the_dialogue_at_the_next_hop_too(self, certificates: Certificates) -> None:
        async with (
            sink(keywords=(b"AUTH PLAIN",), answers=lower({"AUTH": b"334 ", "*": b"501 5.7.0 cancelled"})) as hop,
            proxy(hop=hop, **self.options(certificates)) as running,
        ):
            client = await secure_client(running.port, certificates)
            for line in ("*", "no base64!", "A\0"):
                client = await secure_client(running.port, certificates)
                assert (await client.say("AUTH PLAIN")).startswith("334")
                assert await client.say(line) == "501 5.7.0 cancelled"

    async def test_in_front_the_next_hop_hears_who_has_authenticated(
        self, certificates: Certificates, passwords: Path
    ) -> None:
        keywords = (b"XCLIENT NAME ADDR LOGIN",)
        async with (
            sink(keywords=keywords, answers={"XCLIENT": b"220 sink"}) as hop,
            proxy(hop=hop, mode="front", **submission(certificates, passwords)) as running,
        ):
            client = await secure_client(running.port, certificates)
            assert (await client.say(f"AUTH PLAIN {JOE}")).startswith("235 ")
            assert (await client.message(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
            told = [line for line in hop.commands if line.startswith(b"XCLIENT")]
            assert told[-1] == b"XCLIENT NAME=[UNAVAILABLE] ADDR=127.0.0.1 LOGIN=joe@example.org"
            assert all(b"LOGIN" not in line for line in told[:-1])


def lower(answers: dict[str, Any]) -> dict[str, Any]:
    """Return answers by the verb as the sink sees it."""
    return {verb.upper(): answer for verb, answer in answers.items()}
