"""Programs that people send mail with (swaks, msmtp, curl, smtplib, nodemailer); each sends one message of octets."""

from __future__ import annotations

import json
import shutil
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SENDER, RECIPIENT = "sender@example.org", "alice@example.net"
_NODEMAILER = Path(__file__).parents[1] / "oracles" / "nodemailer.js"
_NPM_FOLDER = Path(sys.prefix) / "mailauth"  # where `make test` puts what comes from npm


@dataclass(frozen=True)
class Port:
    """Where to send to: `tls` is `none`, `starttls` or `implicit`; with a user the client authenticates."""

    number: int
    tls: str = "none"
    user: str = ""
    password: str = ""
    ca_file: Path = Path()
    lmtp: bool = False


@dataclass(frozen=True)
class Result:
    """Whether the client said that the message was taken, and its own words."""

    accepted: bool
    words: str


def _run(command: list[str], octets: bytes, allowed: Mapping[str, str] | None = None) -> Result:
    assert shutil.which(command[0]), f"{command[0]} is not installed: see tests/debian-packages.txt"
    done = subprocess.run(command, input=octets, capture_output=True, timeout=60, check=False)
    return Result(done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace"))


def swaks(port: Port, raw: bytes) -> Result:
    """Send with swaks."""
    command = ["swaks", "--server", f"127.0.0.1:{port.number}", "--to", RECIPIENT, "--from", SENDER, "--data", "-"]
    command += ["--protocol", "LMTP"] if port.lmtp else []
    command += {"none": [], "starttls": ["--tls"], "implicit": ["--tls-on-connect"]}[port.tls]
    command += ["--tls-verify", "--tls-ca-path", str(port.ca_file)] if port.tls != "none" else []
    command += ["--auth", "PLAIN", "--auth-user", port.user, "--auth-password", port.password] if port.user else []
    return _run(command, raw.replace(b"\r\n", b"\n"))


def msmtp(port: Port, raw: bytes) -> Result:
    """Send with msmtp."""
    command = ["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={port.number}", f"--from={SENDER}"]
    command += ["--protocol=lmtp"] if port.lmtp else []
    command += [f"--tls={'off' if port.tls == 'none' else 'on'}"]
    if port.tls != "none":
        command += [f"--tls-starttls={'on' if port.tls == 'starttls' else 'off'}", f"--tls-trust-file={port.ca_file}"]
    if port.user:
        command += ["--auth=plain", f"--user={port.user}", f"--passwordeval=printf %s '{port.password}'"]
    return _run([*command, "--", RECIPIENT], raw.replace(b"\r\n", b"\n"))


def curl(port: Port, raw: bytes) -> Result:
    """Send with curl."""
    scheme = "smtps" if port.tls == "implicit" else "smtp"
    command = ["curl", "--silent", "--show-error", "--url", f"{scheme}://127.0.0.1:{port.number}/client.example"]
    command += ["--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", "-"]
    command += ["--ssl-reqd"] if port.tls == "starttls" else []
    command += ["--cacert", str(port.ca_file)] if port.tls != "none" else []
    command += ["--user", f"{port.user}:{port.password}"] if port.user else []
    return _run(command, raw)


def python(port: Port, raw: bytes) -> Result:
    """Send with Python's smtplib."""
    context = ssl.create_default_context(cafile=str(port.ca_file)) if port.tls != "none" else None
    kind: Callable[..., smtplib.SMTP] = smtplib.LMTP if port.lmtp else smtplib.SMTP
    if port.tls == "implicit":
        kind = smtplib.SMTP_SSL
    options = {"context": context} if port.tls == "implicit" else {}
    try:
        with kind("127.0.0.1", port.number, **options) as smtp:
            if port.tls == "starttls":
                smtp.starttls(context=context)
            if port.user:
                smtp.login(port.user, port.password)
            smtp.sendmail(SENDER, [RECIPIENT], raw)
    except smtplib.SMTPException as error:
        return Result(False, str(error))
    return Result(True, "")


def nodemailer(port: Port, raw: bytes) -> Result:
    """Send with nodemailer."""
    assert (_NPM_FOLDER / "node_modules" / "nodemailer").is_dir(), "nodemailer is missing: run `make test`"
    transport: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port.number,
        "secure": port.tls == "implicit",
        "ignoreTLS": port.tls == "none",
        "requireTLS": port.tls == "starttls",
        "lmtp": port.lmtp,
    }
    if port.tls != "none":
        transport["tls"] = {"ca": port.ca_file.read_text()}
    if port.user:
        transport["auth"] = {"user": port.user, "pass": port.password}
    mail = {"envelope": {"from": SENDER, "to": [RECIPIENT]}, "raw": raw.decode("latin-1")}
    question = json.dumps({"transport": transport, "mail": mail}).encode()
    node = str(Path(sys.prefix) / "bin" / "node")
    return _run([node, str(_NODEMAILER), str(_NPM_FOLDER)], question)


CLIENTS: Mapping[str, Callable[[Port, bytes], Result]] = {
    client.__name__: client for client in (swaks, msmtp, curl, python, nodemailer)
}
SPEAK_LMTP = ("swaks", "msmtp", "python", "nodemailer")
