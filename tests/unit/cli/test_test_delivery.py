"""`filterproxy test-delivery` against a provider on loopback: the dialogue, the exit status, no secrets."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from filterproxy.cli.main import app
from tests.smtp_provider import PASSWORD, USER, Authority, provider


@asynccontextmanager
async def site(folder: Path, **options: Any):
    """Yield a provider and a configuration that uses it."""
    authority = Authority(folder)
    async with provider(**{"context": authority.context(), **options}) as server:
        (folder / "secret").write_text(PASSWORD)
        (folder / "secret").chmod(0o600)
        hop = {
            "provider": "libero",
            "host": "localhost",
            "port": server.port,
            "ca_file": "ca.pem",
            "username": USER,
            "password_file": "secret",
            "command_timeout": "2s",
        }
        assert authority.file
        yield server, hop


async def run(folder: Path, hop: Any, *options: str) -> Result:
    config = {
        "hostname": "mx.example.org",
        "listeners": [{"type": "smtp", "address": "127.0.0.1:1", "next_hop": hop}],
    }
    (folder / "filterproxy.yml").write_text(yaml.safe_dump(config))
    arguments = ["test-delivery", "-c", str(folder / "filterproxy.yml"), "--to", "bob@example.net", *options]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def test_a_message_goes_through(tmp_path: Path) -> None:
    async with site(tmp_path) as (server, hop):
        result = await run(tmp_path, hop)
        assert result.exit_code == 0, result.output
        assert "> EHLO mx.example.org\n" in result.stdout
        assert "- TLSv1.3 " in result.stdout
        assert "> AUTH PLAIN (not shown)\n" in result.stdout
        assert f"> MAIL FROM:<{USER}>" in result.stdout
        assert "> RCPT TO:<bob@example.net>\n< 250 2.1.5 ok\n" in result.stdout
        assert "> QUIT\n< 221 bye\n" in result.stdout
        assert result.stdout.endswith("delivered: 250 2.0.0 queued as 1\n")
        ((rcpts, raw),) = server.messages
        assert rcpts == [b"RCPT TO:<bob@example.net>"]
        assert b"Subject: Test delivery through filterproxy\r\n" in raw
        assert f"From: <{USER}>\r\n".encode() in raw


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({"password": "another"}, 1, "refused: auth: refuses the credentials: 535 5.7.8 not accepted: ***"),
        ({"starttls": False}, 1, "refused: tls: does not offer STARTTLS, which tls requires"),
        ({"mechanisms": ""}, 1, "refused: auth: offers no AUTH, and not PLAIN or LOGIN"),
        ({"replies": {"GREETING": b"421 4.3.2 busy"}}, 75, "not now: connect: refuses us: 421 4.3.2 busy"),
        ({"replies": {"RCPT": b"550 5.1.1 nobody \x1b[31m"}}, 1, "refused: 550 5.1.1 nobody"),
        ({"replies": {"MAIL": b"451 4.7.1 later"}}, 75, "not now: 451 4.7.1 later"),
        ({"replies": {"DATA": b"554 no"}}, 1, "refused: 554 no"),
        ({"results": [b"452 4.2.2 full"]}, 75, "not now: 452 4.2.2 full"),
        (
            {"replies": {"AUTH": b"what? " + b64encode(f"\0{USER}\0{PASSWORD}".encode())}},
            75,
            "not now: auth: not an SMTP",
        ),
        ({"results": [b"nonsense"]}, 75, "not now: reply: not an SMTP reply"),
    ],
)
async def test_what_goes_wrong(tmp_path: Path, options: dict[str, Any], status: int, says: str) -> None:
    async with site(tmp_path, **options) as (_, hop):
        result = await run(tmp_path, hop)
        assert result.exit_code == status, result.output
        assert f"filterproxy: {says}" in result.stderr
        for secret in (PASSWORD, f"\0{USER}\0{PASSWORD}"):
            assert secret not in result.output
            assert b64encode(secret.encode()).decode() not in result.output
        assert "\x1b" not in result.output


async def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    async with site(tmp_path) as (server, hop):
        other = Authority(tmp_path)
        server.context = other.context("evil.example")
        assert other.file
        result = await run(tmp_path, hop)
        assert result.exit_code == 1
        assert "refused: tls: its certificate is not accepted for localhost" in result.stderr


async def test_nobody_answers(tmp_path: Path) -> None:
    result = await run(tmp_path, "127.0.0.1:2")
    assert result.exit_code == 75
    assert "not now: connect: cannot connect: " in result.stderr


async def test_the_next_hop_is_chosen_by_name_address_or_recipient(tmp_path: Path) -> None:
    async with provider(mechanisms="") as first, provider(mechanisms="", lmtp=True) as second:
        hop = {
            "hops": [{"name": "main", "address": f"127.0.0.1:{first.port}"}, "127.0.0.1:2"],
            "routes": {"example.com": f"lmtp://127.0.0.1:{second.port}"},
        }

        async def counts(*options: str) -> tuple[int, int]:
            result = await run(tmp_path, hop, *options)
            assert result.exit_code == 0, result.output
            return len(first.messages), len(second.messages)

        assert await counts() == (1, 0)
        assert await counts("--to", "x@example.com") == (1, 1)
        assert await counts("--next-hop", "main", "--to", "x@example.com") == (2, 1)
        assert await counts("--next-hop", f"127.0.0.1:{second.port}") == (2, 2)
        assert await counts("--from", "é@example.org") == (3, 2)
        hop["hops"].reverse()
        assert await counts() == (4, 2)
        wrong = await run(tmp_path, hop, "--next-hop", "mian")
        assert wrong.exit_code == 2
        assert "no next hop is called 'mian' (did you mean main?)" in wrong.stderr


@pytest.mark.parametrize("address", ["", "nobody", "a b@example.org", "a@example.org\r\nDATA", "<a@b>"])
async def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    result = await run(tmp_path, "127.0.0.1:2", "--to", address)
    assert result.exit_code == 2
    assert "is no address" in result.stderr


async def test_without_a_next_hop(tmp_path: Path) -> None:
    (tmp_path / "filterproxy.yml").write_text("listeners: []")
    arguments = ["test-delivery", "-c", str(tmp_path / "filterproxy.yml"), "--to", "a@example.org"]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == 2
    assert "no listener has a next hop" in result.stderr


async def test_a_wrong_ca_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    result = await run(tmp_path, {"address": "smtps://127.0.0.1:2", "ca_file": "ca.pem"})
    assert result.exit_code == 2
    assert "listeners[0].next_hop: cannot use the ca_file" in result.stderr
