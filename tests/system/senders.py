"""Sending mail: swaks (a whole SMTP dialogue, as text), smtp-source (load), smtplib (exact octets)."""

from __future__ import annotations

import re
import smtplib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_REPLY = re.compile(r"^<(?:-|\*\*|~) {1,2}(\d{3}[ -].*)$", re.MULTILINE)


@dataclass(frozen=True)
class Transcript:
    """What swaks saw: its exit status, the whole text, and the server's reply lines in order."""

    status: int
    text: str

    @property
    def replies(self) -> list[str]:
        return _REPLY.findall(self.text)

    @property
    def message_reply(self) -> str:
        """Return the server's reply to the message: the one before its answer to QUIT."""
        return self.replies[-2]


def swaks(
    port: int,
    *,
    to: Sequence[str] | str = "alice@example.net",
    sender: str = "sender@example.org",
    data: Path | bytes | None = None,
    xclient: str = "",
    options: Sequence[str] = (),
) -> Transcript:
    """Send with swaks; `data` is the message (its dots are stuffed by swaks), `xclient` like `ADDR=192.0.2.1`."""
    recipients = to if isinstance(to, str) else ",".join(to)
    command = ["swaks", "--server", f"127.0.0.1:{port}", "--to", recipients, "--from", sender, "--timeout", "60"]
    stdin = None
    if isinstance(data, bytes):
        command += ["--data", "-"]
        stdin = data
    elif data is not None:
        command += ["--data", f"@{data}"]
    if xclient:
        command += ["--xclient", xclient]
    done = subprocess.run([*command, *options], input=stdin, capture_output=True, timeout=120, check=False)
    return Transcript(done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace"))


def smtp_source(
    port: int,
    *,
    count: int,
    sessions: int = 1,
    length: int = 1000,
    file: Path | None = None,
    to: str = "alice@example.net",
    sender: str = "sender@example.org",
    keep_session: bool = False,
    options: Sequence[str] = (),
    timeout: float = 120,
) -> None:
    """Send with Postfix' smtp-source: generated messages of a length, or those of a file (lines end in LF).

    `keep_session` sends many in each session. Raises AssertionError when a message is not accepted.
    """
    command = ["smtp-source", "-m", str(count), "-s", str(sessions), "-f", sender, "-t", to]
    command += ["-F", str(file)] if file else ["-l", str(length)]
    command += ["-d"] if keep_session else []
    command += [*options, f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Sent:
    """What became of a message sent by `send`: the reply to it and the recipients that were refused."""

    code: int
    text: str
    refused: Mapping[str, tuple[int, bytes]]


def send(
    port: int,
    message: bytes,
    *,
    to: Sequence[str] = ("alice@example.net",),
    sender: str = "sender@example.org",
    mail_options: Sequence[str] = (),
    rcpt_options: Sequence[str] = (),
    xclient: str = "",
) -> Sent:
    """Send exactly these octets (lines end in CRLF) with smtplib; a refusal is a result, not an exception."""
    refused: dict[str, tuple[int, bytes]] = {}
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example.org", timeout=60) as client:
        if "SMTPUTF8" in mail_options:
            client.command_encoding = "utf-8"
        if xclient:
            client.ehlo()
            client.docmd("XCLIENT", xclient)
        client.ehlo("client.example.org")
        code, text = client.mail(sender, list(mail_options))
        if code == 250:
            answers = {recipient: client.rcpt(recipient, list(rcpt_options)) for recipient in to}
            refused = {recipient: answer for recipient, answer in answers.items() if answer[0] not in (250, 251)}
            code, text = client.data(message) if len(refused) < len(to) else next(iter(refused.values()))
    return Sent(code, text.decode("utf-8", "replace"), refused)
