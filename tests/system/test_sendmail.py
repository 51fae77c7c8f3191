"""filterproxy as a milter of a real sendmail 8.17: the whole way of a message, and every verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from filterproxy.app.demo.next_hop import start_next_hop
from filterproxy.config.addresses import SocketAddress
from tests.system.messages import BODY, as_delivered, body_of, gtube, header_lines, message
from tests.system.postfix import scratch_folder
from tests.system.senders import send, swaks
from tests.system.sendmail import Sendmail
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port, wait_until


@dataclass
class Site:
    """sendmail with filterproxy as its milter, relaying to a server that keeps everything."""

    sendmail: Sendmail
    filter: FilterproxyServer
    delivered: Path

    def messages(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.delivered / "new").iterdir())]

    def wait_for_message(self, marker: bytes) -> bytes:
        def found() -> bytes:
            return next((raw for raw in self.messages() if marker in raw), b"")

        return wait_until(found, f"a message with {marker!r}", state=self.log)

    def log(self) -> str:
        return self.sendmail.log() + self.filter.log()


Start = Callable[..., Site]


@pytest.fixture(scope="module")
def start_site() -> Iterator[Start]:
    """Start sendmail and a filter: `start_site(unix=False, listener={…}, **settings)`; all is stopped at the end."""
    stops: list[Callable[[], object]] = []
    with scratch_folder() as folder:

        def start(*, unix: bool = False, listener: dict[str, Any] | None = None, **settings: Any) -> Site:
            root = folder / f"site{len(stops)}"
            root.mkdir()
            port, hop = free_port(), free_port()
            address = f"unix:{root}/milter.sock" if unix else f"127.0.0.1:{port}"
            listeners = [{"type": "milter", "address": address, **(listener or {})}]
            config = {"listeners": listeners, "checks": {"gtube": {}}, **settings}
            server = FilterproxyServer(root / "filter", config)
            stops.append(server.stop)
            server.start()
            next_hop = start_next_hop(SocketAddress("127.0.0.1", hop), root / "delivered")
            stops.append(next_hop.stop)
            sendmail = Sendmail(root / "sendmail", milter=address if unix else f"inet:{port}@127.0.0.1", next_hop=hop)
            stops.append(sendmail.stop)
            return Site(sendmail.start(), server, root / "delivered")

        yield start
        for stop in reversed(stops):
            stop()


@pytest.fixture(scope="module", params=["tcp", "unix"])
def site(request: pytest.FixtureRequest, start_site: Start) -> Site:
    return start_site(unix=request.param == "unix", listener={"never_reject": ["postmaster@"]})


def test_ham_is_delivered_with_headers_and_the_same_octets(site: Site) -> None:
    raw = message("ham", headers=[b"X-Spam-Flag: YES", b"X-Spam-Status: Yes, forged", b"X-Spaced:  two  spaces"])
    assert send(site.sendmail.port, raw).code == 250
    got = site.wait_for_message(b"<ham@example.org>")
    fields = header_lines(got)
    assert b"\nX-Spam-Status: No, score=" in fields
    assert b"\nAuthentication-Results: mx.example.net;" in fields
    assert b"X-Spam-Flag" not in fields
    assert b"forged" not in fields
    assert b"\nX-Spaced:  two  spaces\n" in fields
    assert b"\nX-Folded: one\n\ttwo\n" in fields
    assert body_of(got) == as_delivered(BODY)
    line = site.filter.wait_for_line("message-id=<ham@example.org>")
    assert "client=localhost[127.0.0.1]" in line
    assert "from=<sender@example.org> to=<alice@example.net>" in line
    # The queue id is sendmail's own, which its Received field tells too.
    queue_id = line.partition(": scan: ")[0].rpartition(" ")[2]
    assert f"id {queue_id}".encode() in fields


def test_gtube_is_rejected_in_session(site: Site) -> None:
    before = len(site.messages())
    sent = swaks(site.sendmail.port, data=gtube("gtube"))
    assert sent.message_reply.startswith("554 5.7.1 "), sent.text
    assert "action=reject" in site.filter.wait_for_line("message-id=<gtube@example.org>")
    assert len(site.messages()) == before


def test_several_messages_a_connection(site: Site) -> None:
    session = [message("first"), gtube("second"), message("third")]
    codes = [send(site.sendmail.port, raw).code for raw in session]
    assert codes == [250, 554, 250]
    assert b"X-Spam-Status: No" in site.wait_for_message(b"<third@example.org>")


def test_a_large_message(site: Site) -> None:
    body = (b"0123456789" * 7 + b"\r\n") * 20_000
    assert send(site.sendmail.port, message("large", body=body)).code == 250
    assert body_of(site.wait_for_message(b"<large@example.org>")) == as_delivered(body)


def test_recipients_that_never_reject_get_their_mail_alone(site: Site) -> None:
    sent = send(site.sendmail.port, gtube("mixed"), to=["alice@example.net", "postmaster@example.net"])
    assert sent.code == 250
    got = site.wait_for_message(b"<mixed@example.org>")
    assert b"Delivered-To: postmaster@example.net\n" in got
    assert b"X-Spam-Flag: YES" in got


@pytest.mark.parametrize(
    ("action", "reply"), [("soft_reject", 451), ("discard", 250), ("quarantine", 250), ("rewrite_subject", 250)]
)
def test_the_other_verdicts(start_site: Start, action: str, reply: int) -> None:
    site = start_site(force_actions={"GTUBE": action})
    assert send(site.sendmail.port, gtube("spam")).code == reply
    if action == "quarantine":
        held = wait_until(site.sendmail.held, "a quarantined message", state=site.log)
        assert b"X-Spam-Flag: YES" in held[0].read_bytes().replace(b"??", b"")
    if action == "rewrite_subject":
        fields = header_lines(site.wait_for_message(b"<spam@example.org>"))
        assert b"\nSubject: ***SPAM*** The minutes of Monday\n" in fields
        assert fields.count(b"\nSubject:") == 1
        return
    assert send(site.sendmail.port, message("after")).code == 250
    site.wait_for_message(b"<after@example.org>")
    assert len(site.messages()) == 1


def test_without_the_filter_mail_waits_at_the_sender(start_site: Start) -> None:
    site = start_site()
    site.filter.kill()
    sent = swaks(site.sendmail.port, data=message("down"))
    assert any(line.startswith("451 4.") for line in sent.replies), sent.text
    assert site.messages() == []
