"""filterproxy on port 25 in front of a real Postfix: who the client is, who may send where, TLS and AUTH."""

from __future__ import annotations

import smtplib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from filterproxy.testing.dns_server import DnsServer
from tests.certificates import Certificates, make_certificates
from tests.system.dovecot_auth import DovecotAuth
from tests.system.messages import gtube, message
from tests.system.postfix import Postfix
from tests.system.server import COMMAND, FilterproxyServer
from tests.system.waiting import free_port

OUTSIDE, NAMED, INSIDE = "127.0.0.9", "127.0.0.7", "127.0.0.1"
ZONES = {
    "7.0.0.127.in-addr.arpa": {"PTR": ["client.example"]},
    "client.example": {"A": [NAMED]},
}


class Site:
    """A Postfix that takes everything from 127.0.0.1 alone, and the filter before it."""

    def __init__(self, postfix: Postfix, server: FilterproxyServer, port: int, certificates: Certificates) -> None:
        self.postfix, self.server, self.port, self.certificates = postfix, server, port, certificates

    def session(self, source: str = OUTSIDE) -> smtplib.SMTP:
        smtp = smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=20, source_address=(source, 0))
        smtp.ehlo()
        return smtp

    def secure(self, source: str = OUTSIDE) -> smtplib.SMTP:
        smtp = self.session(source)
        smtp.starttls(context=self.certificates.client_context())
        smtp.ehlo()
        return smtp


@pytest.fixture
def start(postfix: Any, filterproxy_server: Any, dns_server: Any, system_dir: Path) -> Any:
    def started(*, settings: dict[str, str] | None = None, **listener: Any) -> Site:
        certificates = make_certificates(system_dir / "tls", "127.0.0.1")
        dns: DnsServer = dns_server(ZONES)
        mta = postfix(settings={"mynetworks": "127.0.0.1/32", "inet_interfaces": "127.0.0.1", **(settings or {})})
        port = free_port()
        config = {
            "listeners": [
                {
                    "type": "smtp",
                    "address": f"127.0.0.1:{port}",
                    "mode": "front",
                    "next_hop": f"127.0.0.1:{mta.port}",
                    "tls": {"cert": str(certificates.cert), "key": str(certificates.key)},
                    **listener,
                }
            ],
            "trusted_networks": [],
            "dns": {"nameservers": [dns.address], "timeout": "1s"},
            "checks": {"gtube": {}},
        }
        return Site(mta, filterproxy_server(config), port, certificates)

    return started


def test_postfix_sees_the_real_client_and_decides(start: Any) -> None:
    site = start()
    with site.session() as smtp:
        assert smtp.mail("a@example.org")[0] == 250
        code, text = smtp.rcpt("b@elsewhere.example")
        assert (code, b"Relay access denied" in text) == (554, True)
        code, text = smtp.rcpt("nobody@example.net")
        assert (code, b"User unknown" in text) == (550, True)
        assert smtp.rcpt("alice@example.net")[0] == 250
        assert smtp.data(message("front"))[0] == 250
    delivered = site.postfix.wait_for_message(b"<front@example.org>")
    assert f"from client.example (unknown [{OUTSIDE}])".encode() in delivered, delivered
    assert b"X-Spam-Status: No" in delivered
    assert f"client=unknown[{OUTSIDE}]" in site.postfix.log()


def test_a_confirmed_name_is_told(start: Any) -> None:
    site = start()
    with site.session(NAMED) as smtp:
        smtp.sendmail("a@example.org", ["alice@example.net"], message("named"))
    delivered = site.postfix.wait_for_message(b"<named@example.org>")
    assert f"from client.example (client.example [{NAMED}])".encode() in delivered


def test_several_messages_a_session_and_spam_is_refused(start: Any) -> None:
    site = start()
    with site.session() as smtp:
        for number in range(3):
            smtp.sendmail("a@example.org", ["alice@example.net"], message(f"several{number}"))
            with pytest.raises(smtplib.SMTPDataError, match="554"):
                smtp.sendmail("a@example.org", ["alice@example.net"], gtube(f"spam{number}"))
    assert len(site.postfix.wait_for_delivery(3)) == 3


def test_a_client_of_our_own_may_relay(start: Any) -> None:
    site = start()
    with site.session(INSIDE) as smtp:
        assert smtp.mail("a@example.net")[0] == 250
        # Not denied: it would go on if this Postfix had somewhere to send it.
        code, text = smtp.rcpt("b@elsewhere.example")
        assert (code, b"mail to other places is switched off here" in text) == (550, True)


def test_without_xclient_there_are_relay_domains_or_no_start(postfix: Any, system_dir: Path) -> None:
    mta = postfix(settings={"smtpd_authorized_xclient_hosts": "192.0.2.1"})
    listener = {
        "type": "smtp",
        "address": f"127.0.0.1:{free_port()}",
        "mode": "front",
        "next_hop": f"127.0.0.1:{mta.port}",
    }
    server = FilterproxyServer(system_dir / "open", {"listeners": [listener], "checks": {}})
    done = subprocess.run(
        [COMMAND, "run", "-c", server.config], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "mode front needs relay_domains" in done.stderr


def test_authentication_here_lets_postfix_know_the_user(start: Any, system_dir: Path) -> None:
    passwords = system_dir / "passwords"
    passwords.write_text(f"alice@example.net:{PasswordHasher().hash('secret')}\n")
    with DovecotAuth({}) as dovecot:
        site = start(settings=dovecot.settings, auth={"source": "file", "file": str(passwords)})
        submit(site, "authenticated")


def test_postfix_checks_the_password_itself(start: Any) -> None:
    with DovecotAuth({"alice@example.net": "secret"}) as dovecot:
        site = start(settings=dovecot.settings, auth={"source": "next_hop"})
        submit(site, "passed-on")


def submit(site: Site, name: str) -> None:
    """Send mail to elsewhere as alice, after what must not work."""
    with site.session() as smtp:
        assert "auth" not in smtp.esmtp_features
        with pytest.raises(smtplib.SMTPNotSupportedError):
            smtp.login("alice@example.net", "secret")
    with site.secure() as smtp:
        assert "PLAIN" in smtp.esmtp_features["auth"]
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("alice@example.net", "wrong")
    with site.secure() as smtp:
        smtp.login("alice@example.net", "secret")
        assert smtp.mail("alice@example.net")[0] == 250
        code, text = smtp.rcpt("b@elsewhere.example")
        assert (code, b"mail to other places is switched off here" in text) == (550, True)
        assert smtp.rcpt("bob@example.net")[0] == 250
        assert smtp.data(message(name))[0] == 250
    log = site.postfix.wait_for_log("sasl_username=alice@example.net")
    assert f"client=unknown[{OUTSIDE}]" in log
    assert f"auth: sasl_method=PLAIN sasl_username=alice@example.net client=unknown[{OUTSIDE}]" in site.server.log()
    assert "secret" not in site.server.log()
