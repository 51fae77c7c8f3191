"""Three messages like those of every day, made of words, the same in each run: text, HTML newsletter, attachment."""

from __future__ import annotations

import random
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

_SYLLABLES = ("ba", "co", "di", "fe", "gu", "ha", "lin", "mor", "nes", "per", "qua", "ris", "sol", "tan", "ver", "zen")


def write_samples(folder: Path) -> list[Path]:
    """Write the messages (line ends LF, as smtp-source reads them) and return their files: about 2, 12 and 60 KB."""
    chance = random.Random(7)
    messages = {"text": _text(chance), "newsletter": _newsletter(chance), "attachment": _attachment(chance)}
    paths = []
    for name, message in messages.items():
        path = folder / f"{name}.eml"
        path.write_bytes(message.as_bytes(policy=SMTP.clone(linesep="\n")))
        paths.append(path)
    return paths


def _words(chance: random.Random, count: int) -> str:
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(count)]
    return "\n".join(" ".join(words[start : start + 12]) for start in range(0, count, 12)) + "\n"


def _start(subject: str, number: int) -> EmailMessage:
    message = EmailMessage()
    host = f"mail{number}.example.org"
    message["Received"] = (
        f"from {host} ({host} [192.0.2.{number}]) by relay.example.com with ESMTPS id {number:08d}; "
        f"Mon, 02 Nov 2026 10:00:0{number} +0000"
    )
    message["From"] = f"Sender {number} <sender{number}@example.org>"
    message["To"] = "alice@example.net"
    message["Subject"] = subject
    message["Date"] = f"Mon, 02 Nov 2026 10:00:0{number} +0000"
    message["Message-ID"] = f"<sample{number}@example.org>"
    return message


def _text(chance: random.Random) -> EmailMessage:
    message = _start("The minutes of Monday", 1)
    message.set_content(_words(chance, 250) + "See https://www.example.org/minutes for the rest.\n")
    return message


def _newsletter(chance: random.Random) -> EmailMessage:
    message = _start("Your weekly offers", 2)
    message["List-Unsubscribe"] = "<https://news.example.org/unsubscribe?id=1>"
    paragraphs = [_words(chance, 60) for _ in range(12)]
    message.set_content("\n".join(paragraphs[:4]))
    cells = "".join(
        f'<tr><td style="padding:4px"><a href="https://news.example.org/offer/{number}"><img alt="" src="https://img'
        f'.example.org/{number}.png"></a><p style="color:#333">{text}</p></td></tr>'
        for number, text in enumerate(paragraphs)
    )
    html = f"<html><head><style>p {{ margin: 0 }}</style></head><body><table>{cells}</table></body></html>"
    message.add_alternative(html, subtype="html")
    return message


def _attachment(chance: random.Random) -> EmailMessage:
    message = _start("The report you asked for", 3)
    message.set_content(_words(chance, 80))
    message.add_attachment(chance.randbytes(42_000), maintype="application", subtype="pdf", filename="report.pdf")
    return message
