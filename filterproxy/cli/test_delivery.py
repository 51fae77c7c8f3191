"""`filterproxy test-delivery`: one message through the next hop, with the whole dialogue shown."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.app.delivery import Outcome

_LINE_LIMIT = 1000


def test_delivery(
    to: Annotated[str, typer.Option("--to", help="Recipient.", show_default=False)],
    sender: Annotated[
        str, typer.Option("--from", help="Sender; without it the next hop's user name, else postmaster@HOSTNAME.")
    ] = "",
    next_hop: Annotated[
        str,
        typer.Option(
            "--next-hop",
            metavar="NAME",
            help="Name, provider or address of a next hop; without it the way that mail for the recipient goes.",
        ),
    ] = "",
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
) -> None:
    """Send one message straight to the next hop and show every line: `>` ours, `<` the server's, `-` remarks.

    Passwords and tokens are not shown. Exit status 0: the next hop took the message; 1: it refused for good, or its
    certificate or our credentials are not accepted; 75: not now.
    """
    from filterproxy.cli.faults import explain_faults

    with explain_faults():
        outcome = asyncio.run(_deliver(config, to, sender, next_hop))
    if outcome.delivered:
        sys.stdout.write(f"delivered: {_safe(outcome.text)}\n")
        return
    word, status = ("not now", ExitStatus.TEMPORARY_FAILURE) if outcome.temporary else ("refused", ExitStatus.NO)
    sys.stderr.write(f"filterproxy: {word}: {_safe(outcome.text)}\n")
    raise typer.Exit(status)


async def _deliver(config: Path | None, to: str, sender: str, name: str) -> Outcome:
    from datetime import UTC, datetime

    from filterproxy.app.compose import load_config
    from filterproxy.app.delivery import choose_hops, deliver, make_message, parse_address
    from filterproxy.app.next_hops import next_hops

    loaded = load_config(config)
    recipient = parse_address(to)
    hops = choose_hops(list(next_hops(loaded)), name, recipient.address)
    sender = sender or _default_sender(hops[0].endpoint.settings.username, loaded.settings.hostname)
    message = make_message(sender, recipient.address, loaded, datetime.now(UTC))
    return await deliver(hops, parse_address(sender), recipient, message, _show)


def _default_sender(username: str, hostname: str) -> str:
    return username if "@" in username else f"postmaster@{hostname}"


def _show(direction: str, line: str) -> None:
    sys.stdout.write(f"{direction} {_safe(line)}\n")
    sys.stdout.flush()


def _safe(text: str) -> str:
    from filterproxy.observability.escape import escape

    return escape(text, _LINE_LIMIT)
