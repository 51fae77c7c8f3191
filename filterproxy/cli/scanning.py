"""Messages from files through the pipeline: what `scan` and `explain` share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filterproxy.app.compose import OpenPipeline
    from filterproxy.core.scan_result import ScanResult
    from filterproxy.core.transaction import Transaction
    from filterproxy.services.corpus import CorpusItem

_CONCURRENT = 8


@dataclass(frozen=True, slots=True)
class Sender:
    """What the command line says about where the messages came from."""

    ip: str = ""
    helo: str = ""
    mail_from: str = ""
    rcpt_to: tuple[str, ...] = ()
    user: str = ""


async def scan_paths(
    opened: OpenPipeline, paths: Iterable[str], sender: Sender
) -> AsyncIterator[tuple[str, ScanResult | str]]:
    """Yield name and result (or why there is none) in the order of the paths, some messages scanned at once."""
    from filterproxy.services.corpus import read_messages

    async for name, result in scan_items(opened, read_messages(paths), sender):
        yield name, result


async def scan_items(
    opened: OpenPipeline, items: Iterable[CorpusItem], sender: Sender
) -> AsyncIterator[tuple[str, ScanResult | str]]:
    """Yield the same for messages that have been read."""
    pending: list[tuple[str, asyncio.Task[ScanResult | str]]] = []
    for item in items:
        pending.append((item.name, asyncio.create_task(scan_one(opened, item, sender))))
        if len(pending) >= _CONCURRENT:
            name, task = pending.pop(0)
            yield name, await task
    for name, task in pending:
        yield name, await task


async def scan_one(opened: OpenPipeline, item: CorpusItem, sender: Sender) -> ScanResult | str:
    """Return the result of one message, or why there is none."""
    from filterproxy.pipeline import Delivery

    if item.raw is None:
        return item.error
    transaction = _transaction(opened, item.name, sender)
    try:
        return await opened.pipeline.begin(transaction, Delivery("scan")).scan(item.raw)
    except Exception as error:  # noqa: BLE001 - one message that cannot be scanned must not stop the others
        return f"{type(error).__name__}: {error}"


def _transaction(opened: OpenPipeline, name: str, sender: Sender) -> Transaction:
    from filterproxy.core.envelope import Envelope, Recipient
    from filterproxy.core.session import Client, Session
    from filterproxy.core.transaction import Transaction

    session = Session(
        id=Path(name).name[:64] or "scan",
        listener="scan",
        client=Client(sender.ip),
        helo=sender.helo,
        user=sender.user,
        local=opened.site.is_local(sender.ip),
    )
    transaction = Transaction.begin(session)
    transaction.envelope = Envelope(sender.mail_from, (), [Recipient(address) for address in sender.rcpt_to])
    return transaction
