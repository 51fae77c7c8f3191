"""TLS and AUTH towards the next hop: every preset on both kinds of port, against a server that behaves like it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from filterproxy.config.endpoints import builtin_providers
from filterproxy.config.next_hop import NextHop as NextHopConfig
from filterproxy.core.errors import NextHopError
from filterproxy.protocols.smtp.commands import Path as MailPath
from filterproxy.services.next_hop import NextHop, NextHopConnection
from tests.smtp_provider import PASSWORD, USER, Authority, Provider, provider

A = MailPath("a@example.org", b"a@example.org")
PRESETS = sorted(builtin_providers())
KINDS = ["implicit", "starttls"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secret_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(text + "\n")
    path.chmod(mode)
    return str(path)


def service(settings: dict[str, Any]) -> NextHop:
    return NextHop(NextHopConfig.model_validate(settings), lambda: "mx.example.org")


@asynccontextmanager
async def gmail(
    authority: Authority, kind: str = "starttls", preset: str = "gmail", **options: Any
) -> AsyncIterator[tuple[Provider, dict[str, Any]]]:
    """Run a provider that behaves well; yield it and the settings that use it."""
    options = {"context": authority.context(), "implicit": kind == "implicit", **options}
    async with provider(**options) as server:
        yield (
            server,
            {
                "provider": preset,
                "host": "localhost",
                "port": server.port,
                "ca_file": authority.file,
                "username": USER,
                "password_file": secret_file(authority.folder, PASSWORD),
            },
        )


async def deliver(connection: NextHopConnection) -> None:
    assert (await connection.mail(A)).positive
    assert (await connection.rcpt(A)).positive
    assert (await connection.data()).code == 354
    assert await connection.send([b"Subject: x\r\n\r\nbody\r\n"]) is None
    assert (await connection.sent()).code == 250


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", PRESETS)
class TestEveryPreset:
    async def test_the_right_password(self, authority: Authority, preset: str, kind: str) -> None:
        async with gmail(authority, kind, preset) as (server, settings):
            made = await service(settings).connect()
            assert made.authenticated
            assert made.tls is not None
            assert made.tls.version in ("TLSv1.2", "TLSv1.3")
            await deliver(made)
            made.abort()
            assert len(server.messages) == 1
            assert server.in_clear == ([] if kind == "implicit" else ["EHLO mx.example.org", "STARTTLS"])

    async def test_a_wrong_password(self, authority: Authority, preset: str, kind: str) -> None:
        async with gmail(authority, kind, preset, password="another") as (_, settings):
            with pytest.raises(NextHopError, match="refuses the credentials: 535") as error:
                await service(settings).connect()
            assert error.value.stage == "auth"
            assert error.value.permanent

    async def test_a_certificate_for_another_name(self, authority: Authority, preset: str, kind: str) -> None:
        async with gmail(authority, kind, preset, context=authority.context("evil.example")) as (server, settings):
            with pytest.raises(
                NextHopError, match=r"certificate is not accepted for localhost: Hostname mismatch"
            ) as e:
                await service(settings).connect()
            assert (e.value.stage, e.value.permanent) == ("tls", True)
            assert not any("AUTH" in line for line in server.commands)

    async def test_a_certificate_of_a_stranger(
        self, authority: Authority, preset: str, kind: str, tmp_path: Path
    ) -> None:
        (tmp_path / "other").mkdir()
        async with gmail(authority, kind, preset, context=Authority(tmp_path / "other").context()) as (
            server,
            settings,
        ):
            with pytest.raises(NextHopError, match="certificate is not accepted for localhost"):
                await service(settings).connect()
            assert not any("AUTH" in line for line in server.commands)

    async def test_an_expired_token(self, authority: Authority, preset: str, kind: str) -> None:
        async with gmail(authority, kind, preset, mechanisms="XOAUTH2") as (server, settings):
            del settings["password_file"]
            settings["token_file"] = secret_file(authority.folder, "old-token")
            with pytest.raises(NextHopError, match="refuses the credentials: 535") as error:
                await service(settings).connect()
            assert "old-token" not in str(error.value)
            settings["token_file"] = secret_file(authority.folder, "good-token")
            await deliver(made := await service(settings).connect())
            made.abort()
            assert len(server.messages) == 1

    async def test_no_auth_is_offered(self, authority: Authority, preset: str, kind: str) -> None:
        async with gmail(authority, kind, preset, mechanisms="") as (server, settings):
            with pytest.raises(NextHopError, match="offers no AUTH, and not PLAIN or LOGIN"):
                await service(settings).connect()
            assert not any(line.startswith("MAIL") for line in server.commands)


@pytest.mark.parametrize("preset", PRESETS)
class TestNothingInTheClear:
    async def test_no_tls_is_offered(self, authority: Authority, preset: str) -> None:
        async with gmail(authority, preset=preset, starttls=False) as (server, settings):
            with pytest.raises(NextHopError, match="does not offer STARTTLS") as error:
                await service(settings).connect()
            assert error.value.stage == "tls"
            assert server.commands == ["EHLO mx.example.org"]

    async def test_starttls_is_refused(self, authority: Authority, preset: str) -> None:
        async with gmail(authority, preset=preset, starttls_reply=b"454 4.7.0 not now") as (server, settings):
            with pytest.raises(NextHopError, match="refuses STARTTLS: 454") as error:
                await service(settings).connect()
            assert not error.value.permanent
            assert server.commands == ["EHLO mx.example.org", "STARTTLS"]

    @pytest.mark.parametrize("injected", [b"250 AUTH PLAIN", b"junk", b"421 4.3.2 away"])
    async def test_plain_text_after_the_reply_to_starttls(
        self, authority: Authority, preset: str, injected: bytes
    ) -> None:
        async with gmail(authority, preset=preset, injected=injected) as (server, settings):
            with pytest.raises(NextHopError) as error:
                await service(settings).connect()
            assert error.value.stage == "tls"
            assert server.commands == ["EHLO mx.example.org", "STARTTLS"]


class TestPolicies:
    """Without a preset: none, may, encrypt, verify."""

    def settings(self, server: Provider, **more: Any) -> dict[str, Any]:
        return {"address": f"127.0.0.1:{server.port}", **more}

    @pytest.mark.parametrize(
        ("policy", "used"), [("none", False), (None, False), ("may", True), ("encrypt", True), ("verify", True)]
    )
    async def test_what_is_used(self, authority: Authority, policy: str | None, used: bool) -> None:
        async with provider(context=authority.context(), mechanisms="") as server:
            settings = self.settings(server, tls=policy, ca_file=authority.file)
            made = await service(settings).connect()
            assert (made.tls is not None) == used
            await deliver(made)
            made.abort()

    async def test_smtps_address(self, authority: Authority) -> None:
        async with provider(context=authority.context(), implicit=True, mechanisms="") as server:
            made = await service({"address": f"smtps://localhost:{server.port}", "ca_file": authority.file}).connect()
            await deliver(made)
            made.abort()
            with pytest.raises(NextHopError, match=r"self-signed|unable to get local issuer"):
                await service({"address": f"smtps://localhost:{server.port}"}).connect()
            made = await service({"address": f"smtps://localhost:{server.port}", "tls": "encrypt"}).connect()
            await deliver(made)
            made.abort()

    async def test_may_goes_on_without(self, authority: Authority) -> None:
        broken = authority.context()
        broken.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # and the certificate has an EC key: no handshake succeeds
        broken.maximum_version = ssl.TLSVersion.TLSv1_2
        for options in ({"context": broken}, {"starttls_reply": b"454 not now"}, {"starttls": False}):
            async with provider(**{"context": authority.context(), "mechanisms": "", **options}) as server:
                made = await service(self.settings(server, tls="may")).connect()
                assert made.tls is None
                await deliver(made)
                made.abort()

    async def test_an_old_tls_version_is_refused(self, authority: Authority) -> None:
        context = authority.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with provider(context=context, mechanisms="") as server:
            settings = self.settings(server, tls="verify", ca_file=authority.file)
            made = await service(settings).connect()
            assert made.tls is not None
            assert made.tls.version == "TLSv1.2"
            made.abort()
            with pytest.raises(NextHopError, match="TLS does not come about"):
                await service({**settings, "tls_minimum": "1.3"}).connect()

    async def test_the_handshake_has_a_time_out(self, authority: Authority) -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = {"address": f"smtps://localhost:{port}", "tls_timeout": "100ms", "connect_timeout": "1s"}
        with pytest.raises(NextHopError) as error:
            await service(settings).connect()
        assert error.value.stage == "tls"
        server.close()

    async def test_server_name(self, authority: Authority) -> None:
        async with provider(context=authority.context("mail.example"), mechanisms="") as server:
            settings = self.settings(server, tls="verify", ca_file=authority.file)
            with pytest.raises(NextHopError, match=r"not accepted for 127\.0\.0\.1"):
                await service(settings).connect()
            made = await service({**settings, "server_name": "mail.example"}).connect()
            made.abort()


class TestMechanisms:
    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    async def test_passwords(self, authority: Authority, mechanism: str) -> None:
        async with gmail(authority, mechanisms=mechanism) as (server, settings):
            made = await service(settings).connect()
            await deliver(made)
            made.abort()
            assert any(line.startswith(f"AUTH {mechanism}") for line in server.commands)

    @pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
    async def test_tokens(self, authority: Authority, mechanism: str) -> None:
        async with gmail(authority, mechanisms=f"PLAIN {mechanism}") as (server, settings):
            del settings["password_file"]
            made = await service({**settings, "token_command": ["echo", "good-token"]}).connect()
            await deliver(made)
            made.abort()
            assert any(line.startswith(f"AUTH {mechanism}") for line in server.commands)

    async def test_only_the_one_that_was_asked_for(self, authority: Authority) -> None:
        async with gmail(authority) as (server, settings):
            made = await service({**settings, "mechanism": "login"}).connect()
            made.abort()
            assert "AUTH LOGIN" in server.commands

    async def test_a_server_that_never_ends(self, authority: Authority) -> None:
        async with gmail(authority) as (server, settings):
            server.replies |= {"AUTH": b"334 ", "*": b"334 "}
            with pytest.raises(NextHopError, match="does not come to an end"):
                await service(settings).connect()

    async def test_secrets_are_in_no_text(self, authority: Authority) -> None:
        from base64 import b64encode

        async with gmail(authority, password="another") as (_, settings):
            with pytest.raises(NextHopError) as error:
                await service(settings).connect()
            encoded = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
            assert encoded not in error.value.reason
            assert "not accepted: ***" in error.value.reason


class TestTokenCommand:
    def script(self, folder: Path, text: str) -> list[str]:
        path = folder / "token.sh"
        path.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{text}\n")
        path.chmod(0o700)
        return [str(path)]

    def runs(self, folder: Path) -> int:
        return len((folder / "runs").read_text().splitlines())

    async def test_one_run_serves_many_connections(self, authority: Authority) -> None:
        command = self.script(authority.folder, """echo '{"access_token": "good-token", "expires_in": 3600}'""")
        async with gmail(authority) as (_, settings):
            del settings["password_file"]
            hop = service({**settings, "token_command": command})
            for made in await asyncio.gather(*(hop.open() for _ in range(4))):
                made.abort()
            (await hop.open()).abort()
            assert self.runs(authority.folder) == 1

    @pytest.mark.parametrize("closes", [False, True])
    async def test_a_refused_token_is_replaced(self, authority: Authority, closes: bool) -> None:
        command = self.script(
            authority.folder, f"[ $(wc -l < {authority.folder}/runs) = 1 ] && echo old-token || echo good-token"
        )
        async with gmail(authority, closes_after_refusal=closes) as (_, settings):
            del settings["password_file"]
            hop = service({**settings, "token_command": command})
            if closes:
                with pytest.raises(NextHopError):
                    await hop.open()
            made = await hop.open()
            assert made.reusable
            made.abort()
            assert self.runs(authority.folder) == 2

    async def test_an_expired_token_is_not_even_tried(self, authority: Authority) -> None:
        command = self.script(authority.folder, """echo '{"access_token": "good-token", "expires_in": 1}'""")
        async with gmail(authority) as (_, settings):
            del settings["password_file"]
            hop = service({**settings, "token_command": command})
            (await hop.open()).abort()
            (await hop.open()).abort()
            assert self.runs(authority.folder) == 2

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("echo secret-on-stderr >&2; exit 3", "token_command ended with status 3"),
            ("true", "prints no token"),
            ('echo \'{"error": "x"}\'', "prints JSON without a usable access_token"),
            ("echo '{broken'", "prints JSON without a usable access_token"),
            ("exec sleep 60", "takes longer than"),
            ("printf 'a token with blanks'", "no access token"),
        ],
    )
    async def test_what_does_not_work(self, authority: Authority, text: str, reason: str) -> None:
        async with gmail(authority) as (_, settings):
            del settings["password_file"]
            command = self.script(authority.folder, text)
            with pytest.raises(NextHopError, match=reason) as error:
                await service({**settings, "token_command": command, "token_timeout": "500ms"}).open()
            assert error.value.stage == "auth"
            assert "secret" not in error.value.reason

    async def test_a_command_that_is_not_there(self, authority: Authority) -> None:
        async with gmail(authority) as (_, settings):
            del settings["password_file"]
            with pytest.raises(NextHopError, match="cannot run the token_command /nonexistent/tool: No such file"):
                await service({**settings, "token_command": "/nonexistent/tool --token"}).open()


class TestSecretFiles:
    @pytest.mark.parametrize("mode", [0o644, 0o666, 0o604, 0o660])
    async def test_one_that_others_may_read_is_refused(self, authority: Authority, mode: int) -> None:
        async with gmail(authority) as (server, settings):
            Path(settings["password_file"]).chmod(mode)
            with pytest.raises(NextHopError, match="may be read or changed by others"):
                await service(settings).connect()
            assert not any("AUTH" in line for line in server.commands)

    async def test_a_changed_password_needs_no_reload(self, authority: Authority) -> None:
        async with gmail(authority, password="new") as (_, settings):
            hop = service(settings)
            with pytest.raises(NextHopError):
                await hop.connect()
            secret_file(authority.folder, "new")
            (await hop.connect()).abort()

    @pytest.mark.parametrize(("text", "reason"), [("", "is empty"), ("a\0b", "NUL cannot be sent")])
    async def test_what_cannot_be_a_password(self, authority: Authority, text: str, reason: str) -> None:
        async with gmail(authority) as (_, settings):
            secret_file(authority.folder, text)
            with pytest.raises(NextHopError, match=reason):
                await service(settings).connect()

    async def test_one_that_is_not_there(self, authority: Authority) -> None:
        async with gmail(authority) as (_, settings):
            with pytest.raises(NextHopError, match=r"cannot read .*nowhere: No such file"):
                await service({**settings, "password_file": str(authority.folder / "nowhere")}).connect()
