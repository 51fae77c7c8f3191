"""The tests that rules carry: sample messages made from a few words, and whether the rule fires for them.

The rule: a sample is an ordinary message but for what the test says, and goes through the same matching as mail.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from filterproxy.core.authentication import MethodResult
from filterproxy.core.envelope import Envelope, Recipient, domain_of
from filterproxy.core.errors import ConfigError
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.session import Client, Session
from filterproxy.core.symbol import SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message
from filterproxy.ruleset.ruleset import RuleSet, Tested
from filterproxy.ruleset.schema import Attached, Match, Sample, Sender

NOW = datetime(2026, 1, 5, 12, 5, tzinfo=UTC)
_HEADERS = {
    "Received": "from mail.example.net ([192.0.2.1]) by mx.example.com; Mon, 05 Jan 2026 12:00:03 +0000",
    "From": "Robin Miller <robin@example.net>",
    "To": "you@example.com",
    "Subject": "Notes",
    "Date": "Mon, 05 Jan 2026 12:00:00 +0000",
    "Message-ID": "<20260105120000.1@example.net>",
    "MIME-Version": "1.0",
}
_BODY = "Good morning,\n\nhere are the notes of Friday.\n\nRobin\n"
_BOUNDARY = "=_sample"
_CLIENT = Client("192.0.2.1", "mail.example.net")


@dataclass(slots=True)
class _Draft:
    """A sample message before it is put together."""

    headers: dict[str, str | None] = field(default_factory=lambda: dict(_HEADERS))
    body: str | None = None
    html: str | None = None
    attachments: list[Attached] = field(default_factory=list)
    mail_from: str = "robin@example.net"
    rcpt_to: Sequence[str] = ("you@example.com",)
    client: Client = _CLIENT
    helo: str = "mail.example.net"
    user: str = ""
    local: bool = False
    results: Mapping[str, str] = field(default_factory=dict)


def run_tests(ruleset: RuleSet) -> list[ConfigError]:
    """Return an error for each sample of the ruleset's own tests that does not do as it is said to."""
    return [error for tested in ruleset.tests for error in _run(ruleset, tested)]


def _run(ruleset: RuleSet, tested: Tested) -> Iterator[ConfigError]:
    expectations = (("match", tested.samples.match, True), ("no_match", tested.samples.no_match, False))
    for key, samples, expected in expectations:
        for number, sample in enumerate(samples):
            path = (*tested.path, key, number)
            try:
                transaction = make_transaction(sample, tested.match)
            except ValueError as error:
                yield tested.document.error(path, str(error))
                continue
            hits = {hit.name: hit for hit in ruleset.match(transaction, NOW)}
            if (tested.name in hits) is not expected:
                seen = f": {', '.join(hits[tested.name].evidence)}" if tested.name in hits else ""
                words = "does not match this" if expected else f"matches this{seen}"
                yield tested.document.error(path, f"{tested.name} {words}")


def make_transaction(sample: Sample, match: Match) -> Transaction:
    """Return the transaction of a sample for a rule; raise ValueError when its bare text has no place."""
    draft = _draft(sample)
    if sample.text is not None:
        places = set(_places(match))
        if not places:
            raise ValueError("the rule looks at no text: write the sample as a map, such as {headers: {…}, body: …}")
        for place in places:
            _put(draft, place, sample.text)
    text = sample.message if sample.message is not None else _compose(draft)
    raw = text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape")
    return _transaction(draft, raw)


def message_transaction(raw: bytes, sender: Sender) -> Transaction:
    """Return the transaction of a whole message from that sender."""
    return _transaction(_set_sender(_Draft(), sender), raw)


def _transaction(draft: _Draft, raw: bytes) -> Transaction:
    session = Session("sample", "sample", draft.client, draft.helo, user=draft.user, local=draft.local)
    transaction = Transaction.begin(session)
    transaction.envelope = Envelope(draft.mail_from, (), [Recipient(address) for address in draft.rcpt_to])
    transaction.message = Message(raw)
    transaction.outcomes["sample"] = CheckOutcome("sample", Status.OK, tuple(_results(draft, transaction.message)))
    return transaction


def _draft(sample: Sample) -> _Draft:
    body, html = ((text and text * sample.repeat) for text in (sample.body, sample.html))
    draft = _Draft(body=body, html=html, attachments=list(sample.attachments))
    if sample.subject is not None:
        draft.headers["Subject"] = sample.subject
    known = {name.lower(): name for name in draft.headers}
    for name, value in sample.headers.items():
        draft.headers[known.get(name.lower(), name)] = value
    return _set_sender(draft, sample)


def _set_sender(draft: _Draft, sender: Sender) -> _Draft:
    """Put into the draft what is said of the sender, and return it."""
    if sender.mail_from is not None:
        draft.mail_from = sender.mail_from
    draft.rcpt_to = sender.rcpt_to or draft.rcpt_to
    if sender.client or sender.client_name:
        draft.client = Client(sender.client or draft.client.address, sender.client_name)
    draft.helo = sender.helo or draft.helo
    draft.user, draft.local = sender.user, sender.local
    draft.results = {str(method): str(word) for method, word in sender.authentication.items()}
    return draft


def _places(match: Match) -> Iterator[str]:
    """Yield where the rule looks for texts; what it must not find there has no place of its own."""
    direct = {"subject": match.subject, "body": match.body, "raw_body": match.raw_body, "url": match.url}
    yield from (key for key, value in direct.items() if value is not None)
    if match.header is not None and not match.header.absent and match.header.exists is not False:
        yield f"header:{match.header.name[0]}"
    if match.html is not None:
        yield from (key for key in ("visible", "hidden") if getattr(match.html, key) is not None)
    if match.attachment is not None:
        yield "attachment"
    if match.envelope is not None and match.envelope.mail_from is not None:
        yield "mail_from"
    if match.client is not None:
        yield from (key for key in ("name", "helo") if getattr(match.client, key) is not None)
    inner = [*(match.all or ()), *(match.any or ()), *(match.at_least.of if match.at_least else ())]
    for other in inner:
        yield from _places(other)


def _put(draft: _Draft, place: str, text: str) -> None:
    if place.startswith("header:"):
        draft.headers[place.removeprefix("header:")] = text
    elif place == "subject":
        draft.headers["Subject"] = text
    elif place in ("body", "raw_body", "url"):
        draft.body = text
    elif place == "visible":
        draft.html = f"<p>{text}</p>"
    elif place == "hidden":
        draft.html = f'<div style="display:none">{text}</div>'
    elif place == "attachment":
        draft.attachments.append(Attached(filename=text))
    elif place == "mail_from":
        draft.mail_from = text
    elif place == "name":
        draft.client = Client(draft.client.address, text)
    else:
        draft.helo = text


def _compose(draft: _Draft) -> str:
    """Return the message as text with LF line ends."""
    parts: list[tuple[str, str]] = []
    if draft.body is not None or draft.html is None:
        parts.append(("Content-Type: text/plain; charset=utf-8\n", _BODY if draft.body is None else draft.body))
    if draft.html is not None:
        parts.append(("Content-Type: text/html; charset=utf-8\n", draft.html))
    parts += [_attached(item) for item in draft.attachments]
    head = "".join(f"{name}: {value}\n" for name, value in draft.headers.items() if value is not None)
    if len(parts) == 1:
        return f"{head}{parts[0][0]}\n{parts[0][1]}\n"
    body = "".join(f"--{_BOUNDARY}\n{fields}\n{content}\n" for fields, content in parts)
    return f'{head}Content-Type: multipart/mixed; boundary="{_BOUNDARY}"\n\n{body}--{_BOUNDARY}--\n'


def _attached(item: Attached) -> tuple[str, str]:
    fields = (
        f"Content-Type: {item.type}\nContent-Transfer-Encoding: base64\n"
        f'Content-Disposition: attachment; filename="{item.filename}"\n'
    )
    return fields, base64.encodebytes(item.text.encode()).decode()


def _results(draft: _Draft, message: Message) -> Iterator[SymbolResult]:
    author = message.header_from[0].domain if message.header_from else ""
    names = {"spf": ("smtp.mailfrom", domain_of(draft.mail_from)), "dkim": ("header.d", author)}
    for method, word in draft.results.items():
        name = names.get(method, ("header.from", author))
        yield SymbolResult(f"SAMPLE_{method.upper()}", method=MethodResult(method, word, (name,)))
