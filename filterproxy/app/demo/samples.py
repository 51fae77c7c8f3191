"""The sample messages and how they are sent: over real SMTP, with XFORWARD saying who the client is meant to be."""

from __future__ import annotations

import smtplib
import time
from dataclasses import dataclass
from email.utils import formatdate
from importlib.resources import files

from filterproxy.app.demo import zones
from filterproxy.config.addresses import SocketAddress

RECIPIENT = "you@filterproxy.example"
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A message file with the client and the envelope it comes from; `name` is empty without reverse DNS."""

    file: str
    title: str
    client: str
    name: str
    helo: str
    mail_from: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A sample on its way: its Message-ID, and the code and text of the reply."""

    sample: Sample
    message_id: str
    reply: str


SAMPLES = (
    Sample("ham-team", "Ham", zones.ORCHARD, "mail.orchard.example", "mail.orchard.example", "anna@orchard.example"),
    Sample(
        "ham-italian",
        "Ham in Italian",
        zones.STUDIO,
        "posta.studio-bianchi.example",
        "posta.studio-bianchi.example",
        "segreteria@studio-bianchi.example",
    ),
    Sample(
        "ham-order",
        "Ham in HTML",
        zones.BOOKSHOP,
        "mta.bookshop.example",
        "mta.bookshop.example",
        "bounces+4711@bookshop.example",
    ),
    Sample("spam", "Spam", zones.SPAMMER, "", "winner-desk.example", "claims@winner-desk.example"),
    Sample("gtube", "GTUBE", zones.ORCHARD, "mail.orchard.example", "mail.orchard.example", "test@orchard.example"),
    Sample("forged", "Forged sender", zones.FORGER, "", "mail.bank.example", "security@bank.example"),
)


def send_all(address: SocketAddress) -> list[Sent]:
    """Send every sample to the filter, one session each; raise OSError or smtplib.SMTPException."""
    stamp = f"{time.time_ns():x}"
    return [send(address, sample, f"<{sample.file}.{stamp}@samples.filterproxy.example>") for sample in SAMPLES]


def send(address: SocketAddress, sample: Sample, message_id: str) -> Sent:
    """Send one sample; an answer of 4xx or 5xx is an answer, not an error."""
    with smtplib.SMTP(address.host, address.port, local_hostname=sample.helo, timeout=_TIMEOUT) as smtp:
        smtp.ehlo()
        if smtp.has_extn("xforward"):
            name = sample.name or "[UNAVAILABLE]"
            smtp.docmd("XFORWARD", f"NAME={name} ADDR={sample.client} PROTO=ESMTP HELO={sample.helo}")
        code, text = smtp.mail(sample.mail_from)
        if code < 400:
            code, text = smtp.rcpt(RECIPIENT)
        if code < 400:
            code, text = smtp.data(read(sample, message_id))
        return Sent(sample, message_id, f"{code} {text.decode('utf-8', 'replace')}")


def read(sample: Sample, message_id: str) -> bytes:
    """Return the sample's bytes with this Message-ID and the present date."""
    raw = (files(__package__) / "samples" / f"{sample.file}.eml").read_bytes().replace(b"\r\n", b"\n")
    header, _, body = raw.partition(b"\n\n")
    lines = [_stamped(line, message_id) for line in header.split(b"\n")]
    return b"\r\n".join([*lines, b"", *body.split(b"\n")])


def _stamped(line: bytes, message_id: str) -> bytes:
    if line.lower().startswith(b"message-id:"):
        return f"Message-ID: {message_id}".encode()
    return f"Date: {formatdate(localtime=True)}".encode() if line.lower().startswith(b"date:") else line
