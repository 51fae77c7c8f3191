"""Transactions as a listener would have filled them."""

from __future__ import annotations

from collections.abc import Sequence

from filterproxy.core.envelope import Envelope, Recipient
from filterproxy.core.session import Client, Session
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message


def make_transaction(
    raw: bytes = b"",
    *,
    client: str = "",
    client_name: str = "",
    helo: str = "",
    mail_from: str = "",
    rcpt_to: Sequence[str] = (),
    user: str = "",
    local: bool = False,
    queue_id: str = "4TEST",
) -> Transaction:
    """Return a transaction at the end of its message; `client` is an IP address in text."""
    session = Session(id="test", listener="test", client=Client(client, client_name), helo=helo, user=user, local=local)
    transaction = Transaction.begin(session)
    transaction.envelope = Envelope(mail_from, (), [Recipient(address) for address in rcpt_to])
    transaction.queue_id = queue_id
    transaction.message = Message(raw)
    return transaction
