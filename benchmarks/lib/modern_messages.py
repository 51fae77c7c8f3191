"""Large messages like those of today: HTML newsletters and attachments, a third signed with DKIM; the same in each run.

The rule: words are made up, and every name lies under `.example`, so that nothing of it exists outside the run.
"""

from __future__ import annotations

import base64
import random
from email.message import EmailMessage
from email.policy import SMTP

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.lib.mail_samples import Mail

_SYLLABLES = ("ba", "co", "di", "fe", "gu", "ha", "lin", "mor", "nes", "per", "qua", "ris", "sol", "tan", "ver", "zen")
_CLIENT = "198.18.0.25"
_SELECTOR = "bench"
_DOMAINS = 10
_SIGNED = (b"from", b"to", b"subject", b"date", b"message-id")


def make(count: int) -> tuple[list[Mail], dict[str, str]]:
    """Return the messages, and the TXT records (text by name) of their senders: DKIM keys, SPF and DMARC."""
    chance = random.Random(11)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    mails = [_mail(chance, number, pem) for number in range(count)]
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    records: dict[str, str] = {}
    for number in range(_DOMAINS):
        domain = _domain(number)
        records[f"{_SELECTOR}._domainkey.{domain}"] = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
        records[domain] = "v=spf1 ip4:198.18.0.0/24 -all"
        records[f"_dmarc.{domain}"] = "v=DMARC1; p=none"
    return mails, records


def _domain(number: int) -> str:
    return f"sender{number % _DOMAINS}.example"


def _mail(chance: random.Random, number: int, key: bytes) -> Mail:
    domain = _domain(number)
    message = _start(chance, number, domain)
    message.set_content(_words(chance, chance.randint(100, 800)))
    if number % 5 < 4:
        message.add_alternative(_html(chance, chance.randint(20, 160)), subtype="html")
    if number % 5 > 2:
        content = chance.randbytes(chance.randint(20_000, 150_000))
        message.add_attachment(content, maintype="application", subtype="pdf", filename=f"report{number}.pdf")
    raw = message.as_bytes(policy=SMTP)
    if number % 3 == 0:
        raw = dkim.sign(raw, _SELECTOR.encode(), domain.encode(), key, include_headers=list(_SIGNED)) + raw
    return Mail(raw, _CLIENT, f"mail.{domain}", f"bounce{number}@{domain}")


def _start(chance: random.Random, number: int, domain: str) -> EmailMessage:
    message = EmailMessage()
    date = f"Mon, 02 Nov 2026 10:{number // 60 % 60:02}:{number % 60:02} +0000"
    message["Received"] = f"from mail.{domain} (mail.{domain} [{_CLIENT}]) by mx.example.org with ESMTPS; {date}"
    message["From"] = f"{_words(chance, 2).strip().title()} <news@{domain}>"
    message["To"] = "bench@example.org"
    message["Subject"] = _words(chance, 6).strip()
    message["Date"] = date
    message["Message-ID"] = f"<{number}.{chance.randrange(10**9)}@{domain}>"
    message["List-Unsubscribe"] = f"<https://{domain}/unsubscribe?id={number}>"
    return message


def _words(chance: random.Random, count: int) -> str:
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(count)]
    return "\n".join(" ".join(words[start : start + 12]) for start in range(0, count, 12)) + "\n"


def _html(chance: random.Random, rows: int) -> str:
    cells = "".join(
        f'<tr><td class="c{row % 7}" style="padding:4px;font-family:Arial,sans-serif"><a href="https://www.'
        f'{_domain(row)}/offer/{row}?u={chance.randrange(10**6)}"><img alt="" width="560" src="https://img.'
        f'{_domain(row)}/{row}.png"></a><p style="color:#333;line-height:1.4">{_words(chance, chance.randint(20, 60))}'
        "</p></td></tr>\n"
        for row in range(rows)
    )
    style = "".join(f".c{number} {{ margin: {number}px; color: #33{number}333 }}\n" for number in range(40))
    return f"<html><head><style>{style}</style></head><body><table width=600>{cells}</table></body></html>"
