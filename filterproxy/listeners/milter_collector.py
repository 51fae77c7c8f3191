"""What a milter connection tells, collected: the session, one transaction at a time, and the message's own bytes.

The rule: the message is put together as the client sent it, byte for byte as far as the MTA tells; sizes are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from filterproxy.core.envelope import Envelope, Recipient
from filterproxy.core.ports import Site
from filterproxy.core.session import Client, Session, Tls
from filterproxy.core.transaction import Transaction
from filterproxy.listeners.session_id import new_session_id
from filterproxy.protocols.milter.commands import Connect, Header, Helo, Macros, Mail, Rcpt

LISTENER = "milter"
_SESSION_STAGES = ("C", "H")
_IPV6_PREFIX = "ipv6:"


class MilterCollector:
    """Fills Session and Transaction; `message_limit` bounds the octets kept of one transaction.

    `enough` is the size from which on a message's body is only counted: nobody reads more of it.
    """

    def __init__(self, site: Site, message_limit: int) -> None:
        self._site = site
        self._limit = message_limit
        # Whether the MTA sends header values with what stands between colon and text (HEADER_LEADING_SPACE).
        self.leading_space = False
        self.session = Session(id=new_session_id(), listener=LISTENER)
        self.transaction: Transaction | None = None
        self._session_macros: dict[str, str] = {}
        self._macros: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._size = 0
        self._in_body = False
        self.enough = message_limit

    @property
    def oversized(self) -> bool:
        """Tell whether the message is larger than allowed; its octets are no longer kept then."""
        return self._size > self._limit

    @property
    def size(self) -> int:
        """Return the octets of the message so far."""
        return self._size

    @property
    def has_enough(self) -> bool:
        """Tell whether more of the body would only be counted."""
        return self._size >= self.enough

    def macros(self, command: Macros) -> None:
        """Take macro values: those of connect and HELO last for the session, others for the transaction."""
        if command.command in _SESSION_STAGES:
            self._session_macros.update(command.values)
        elif command.command == "M":
            self._macros = dict(command.values)
        else:
            self._macros.update(command.values)

    def connect(self, command: Connect) -> None:
        """Begin a session with the client the MTA names."""
        told = command.address if command.family in "46" else ""
        address = _ip_text(told or self._session_macros.get("client_addr", ""))
        client = Client(address, _verified_name(command.hostname, self._session_macros), command.port or None)
        self.session.client = client
        self.session.local = self._site.is_local(address)

    def disconnect(self) -> None:
        """Forget session and transaction: another session follows on the same connection."""
        self.end()
        self._session_macros.clear()
        self.session = Session(id=new_session_id(), listener=LISTENER)

    def helo(self, command: Helo) -> None:
        """Take the HELO name and what is known of TLS by now."""
        self.session.helo = command.name
        version = self._session_macros.get("tls_version", "")
        self.session.tls = Tls(version, self._session_macros.get("cipher", "")) if version else None

    def mail(self, command: Mail) -> Transaction:
        """Begin a transaction and return it."""
        self._clear()
        self.session.user = self._macros.get("auth_authen", "")
        path, *parameters = command.arguments
        self.transaction = Transaction.begin(self.session)
        self.transaction.envelope = Envelope(_address(path), tuple(parameters))
        self.read_queue_id()
        return self.transaction

    def rcpt(self, command: Rcpt) -> None:
        """Take a recipient, unless the MTA says that it refused it."""
        path, *parameters = command.arguments
        refused = self._macros.get("rcpt_mailer") == "error"
        if self.transaction is not None and not refused:
            self.transaction.envelope.recipients.append(Recipient(_address(path), tuple(parameters)))

    def read_queue_id(self) -> None:
        """Take the queue id if it is known by now: Postfix gives one with the first accepted recipient."""
        if self.transaction is not None:
            self.transaction.queue_id = self._macros.get("i", "")

    def header(self, command: Header) -> None:
        """Take a header field; MTAs send folds as LF and, by default, hide one space after the colon."""
        value = command.value
        if b"\n" in value:
            value = value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self._keep(command.name + (b":" if self.leading_space else b": ") + value + b"\r\n")

    def end_of_headers(self) -> None:
        """Take note of the empty line."""
        if not self._in_body:
            self._keep(b"\r\n")
        self._in_body = True

    def body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self.end_of_headers()
        if self.has_enough:
            self._size += len(chunk)
        else:
            self._keep(chunk)

    def take(self) -> bytes:
        """Return the message with CRLF line ends, or its first `enough` octets at least, and keep it no longer."""
        raw = b"".join(self._chunks)
        self._chunks.clear()
        return raw

    def end(self) -> None:
        """Forget the transaction, not the session."""
        self.transaction = None
        self._macros = {}
        self._clear()

    def _clear(self) -> None:
        self._chunks = []
        self._size = 0
        self._in_body = False

    def _keep(self, octets: bytes) -> None:
        self._size += len(octets)
        if self.oversized:
            self._chunks.clear()
        else:
            self._chunks.append(octets)


def _ip_text(address: str) -> str:
    """Return the IP address in its usual form, an empty string for text that is none."""
    if address[: len(_IPV6_PREFIX)].lower() == _IPV6_PREFIX:
        address = address[len(_IPV6_PREFIX) :]
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(parsed)


def _verified_name(hostname: str, macros: Mapping[str, str]) -> str:
    """Return the client's name when the MTA verified it.

    MTAs write `[192.0.2.1]` or `unknown` when they could not; sendmail says FORGED, FAIL or TEMP in client_resolve.
    """
    forged = "may be forged" in macros.get("_", "") or macros.get("client_resolve", "OK") != "OK"
    if forged or hostname.startswith("[") or hostname == "unknown":
        return ""
    return hostname


def _address(path: str) -> str:
    return path[1:-1] if path.startswith("<") and path.endswith(">") else path
