"""A real DNS server on loopback (UDP and TCP) for tests and demonstrations, with every way a server can misbehave.

The one rule: it answers from the zones it was given and never asks anybody else. It runs in a thread of its own, so
that synchronous and asynchronous tests use it alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

Zones = Mapping[str, Mapping[str, Sequence[Any]]]

MAX_CNAMES = 10
_HUGE_STRINGS = 200


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the server answers one name (or one name and type); the default is to answer properly.

    `rcode` answers with that code alone; `silent` never answers; `delay` waits that many seconds; `truncated` sets TC
    on UDP so that the client has to come back over TCP; `wrong_id_first` sends a forged answer with another id (and one
    with another question) before the right one; `elsewhere_first` sends one from another port; `padding` appends that
    many 250-octet TXT strings of junk; `junk` are octets sent in place of the records, said to be `junk_records` many;
    `lower_case` repeats the question in lower case on UDP; `no_edns` answers FORMERR to a query with an OPT record;
    `no_tcp` never answers on TCP.
    """

    rcode: int | None = None
    silent: bool = False
    delay: float = 0.0
    truncated: bool = False
    wrong_id_first: bool = False
    elsewhere_first: bool = False
    padding: int = 0
    junk: bytes = b""
    junk_records: int = 1
    lower_case: bool = False
    no_edns: bool = False
    no_tcp: bool = False


SERVFAIL = Behaviour(rcode=dns.rcode.SERVFAIL)
REFUSED = Behaviour(rcode=dns.rcode.REFUSED)
NXDOMAIN = Behaviour(rcode=dns.rcode.NXDOMAIN)
TIMEOUT = Behaviour(silent=True)
TRUNCATED = Behaviour(truncated=True)
WRONG_ID_FIRST = Behaviour(wrong_id_first=True)
ELSEWHERE_FIRST = Behaviour(elsewhere_first=True)
NO_EDNS = Behaviour(no_edns=True)
LOWER_CASE = Behaviour(lower_case=True)
HUGE = Behaviour(padding=_HUGE_STRINGS)
_PROPER = Behaviour()
_ESCAPES = {ord(char): f"\\{ord(char):03}" for char in ' "();@$'}


def slow(seconds: float) -> Behaviour:
    """Return the behaviour of a server that needs that long for an answer."""
    return Behaviour(delay=seconds)


@dataclass(frozen=True, slots=True)
class Query:
    """One question the server got."""

    name: str
    rtype: str
    transport: str


class DnsServer:
    """Serve `zones` on one UDP and TCP port: `with DnsServer({...}) as server`, or `async with`.

    `zones`: owner name without final dot → type → values. A, AAAA, PTR, CNAME, NS: text; MX: (preference, host); TXT
    and SPF: text, bytes, or a sequence of them for a record of several strings. `*.name` is a wildcard (RFC 4592). A
    name that exists without the type is NODATA, so is an empty non-terminal; others are NXDOMAIN.

    `behaviours`: how some names misbehave, by name or by (name, type); `*.name` stands for all it covers.
    `queries` lists what was asked, in order. Raises OSError when no port can be bound.
    """

    def __init__(
        self,
        zones: Zones,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        behaviours: Mapping[str | tuple[str, str], Behaviour] | None = None,
        ttl: int = 60,
    ) -> None:
        self.host, self.port, self.ttl = host, port, ttl
        self.queries: list[Query] = []
        self.behaviours = dict(behaviours or {})
        self.load(zones)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def address(self) -> str:
        """Return the address as configuration writes it: `127.0.0.1:5353`, `[::1]:5353`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def load(self, zones: Zones) -> None:
        """Replace all zone data, also while running."""
        data: dict[str, dict[str, list[dns.rdata.Rdata]]] = {}
        for owner, types in zones.items():
            key = _text(_name(owner.rstrip(".")))
            data[key] = {rtype: [_rdata(rtype, value) for value in values] for rtype, values in types.items()}
        self._data = data
        self._existing = {name for owner in data for name in _ancestors(owner)}

    def asked(self, name: str, rtype: str | None = None) -> int:
        """Return how often the name (and type) was asked."""
        return sum(query.name == name.lower() and rtype in (None, query.rtype) for query in self.queries)

    def start(self) -> Self:
        """Bind and serve; return when questions are answered."""
        udp, tcp = _bind(self.host, self.port)
        self.port = udp.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(udp, tcp, ready), name="dns-server", daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def stop(self) -> None:
        """Stop serving and close the sockets; does nothing when not started."""
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._finished.set)
            self._thread.join()
            self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, udp: socket.socket, tcp: socket.socket, ready: threading.Event) -> None:
        asyncio.run(self._serve(udp, tcp, ready))

    async def _serve(self, udp: socket.socket, tcp: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        transport, _ = await self._loop.create_datagram_endpoint(lambda: _Udp(self), sock=udp)
        server = await asyncio.start_server(self._tcp_client, sock=tcp)
        ready.set()
        await self._finished.wait()
        transport.close()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tcp_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                for packet in await self._answers(await reader.readexactly(length), "tcp"):
                    writer.write(struct.pack("!H", len(packet)) + packet)
                    await writer.drain()
        writer.close()

    async def _answers(self, packet: bytes, transport: str) -> list[bytes]:
        """Return the packets to send back, none when the server stays silent."""
        try:
            query = dns.message.from_wire(packet)
        except dns.exception.DNSException:
            return []
        question = query.question[0]
        name, rtype = _text(question.name), dns.rdatatype.to_text(question.rdtype)
        self.queries.append(Query(name, rtype, transport))
        behaviour = self.behaviour(name, rtype)
        if behaviour.silent or (behaviour.no_tcp and transport == "tcp"):
            return []
        await asyncio.sleep(behaviour.delay)
        answer = self._message(query, name, rtype, behaviour)
        octets = _wire(answer, query, transport, behaviour)
        return [*_forged(query, behaviour), _spoilt(octets, query, transport, behaviour)]

    def _misleads(self, packet: bytes) -> bool:
        question = dns.message.from_wire(packet).question[0]
        return self.behaviour(_text(question.name), dns.rdatatype.to_text(question.rdtype)).elsewhere_first

    def behaviour(self, name: str, rtype: str) -> Behaviour:
        """Return how the server treats a question."""
        owner = self._owner(name) or name
        keys: tuple[str | tuple[str, str], ...] = ((name, rtype), name, (owner, rtype), owner)
        return next((self.behaviours[key] for key in keys if key in self.behaviours), _PROPER)

    def _message(self, query: dns.message.Message, name: str, rtype: str, behaviour: Behaviour) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        rcode = dns.rcode.FORMERR if behaviour.no_edns and query.edns >= 0 else behaviour.rcode
        if rcode is not None:
            answer.set_rcode(dns.rcode.Rcode(rcode))
            return answer
        last = self._fill(answer, name, rtype)
        if last is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if not any(dns.rdatatype.to_text(rrset.rdtype) == rtype for rrset in answer.answer):
            answer.authority.append(self._soa(name))
        if behaviour.padding:
            junk = [_rdata("TXT", f"{number:03}" + "x" * 247) for number in range(behaviour.padding)]
            answer.answer.append(dns.rrset.from_rdata_list(query.question[0].name, self.ttl, junk))
        return answer

    def _fill(self, answer: dns.message.Message, name: str, rtype: str) -> str | None:
        """Append the records, following CNAMEs; return the last name, None when it does not exist."""
        for _ in range(MAX_CNAMES):
            owner = self._owner(name)
            if owner is None:
                return None
            types = self._data.get(owner, {})
            found = rtype if types.get(rtype) else "CNAME"
            if not types.get(found):
                return name
            answer.answer.append(dns.rrset.from_rdata_list(_name(name), self.ttl, types[found]))
            if found == rtype:
                return name
            name = types["CNAME"][0].to_text().rstrip(".").lower()
        return name

    def _owner(self, name: str) -> str | None:
        """Return the owner whose data answers the name: itself or a wildcard (RFC 4592); None for NXDOMAIN."""
        if name in self._existing:
            return name
        encloser = name
        while encloser and encloser not in self._existing:
            encloser = encloser.partition(".")[2]
        wildcard = f"*.{encloser}" if encloser else "*"
        return wildcard if wildcard in self._data else None

    def _soa(self, name: str) -> dns.rrset.RRset:
        apex = ".".join(name.split(".")[-2:])
        text = f"ns.{apex}. hostmaster.{apex}. 1 3600 600 86400 {self.ttl}" if apex else ". . 1 3600 600 86400 60"
        return dns.rrset.from_text(_name(apex), self.ttl, "IN", "SOA", text)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.server._spawn(self._answer(data, addr))

    async def _answer(self, data: bytes, addr: Any) -> None:
        packets = await self.server._answers(data, "udp")
        if packets and self.server._misleads(data):
            with socket.socket(self.transport.get_extra_info("socket").family, socket.SOCK_DGRAM) as other:
                other.bind((self.server.host, 0))
                other.sendto(dns.message.make_response(dns.message.from_wire(data)).to_wire(), addr)
        for packet in packets:
            self.transport.sendto(packet, addr)


def _text(name: dns.name.Name) -> str:
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()


def _ancestors(owner: str) -> list[str]:
    labels = owner.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def _name(text: str) -> dns.name.Name:
    """Return the name, its labels taken as they are: `a b.example` has a space in its first label."""
    if not text.isascii():
        return dns.name.from_text(text + ".", idna_codec=dns.name.IDNA_2008)
    plain = text.translate(_ESCAPES) if "\\" not in text else text
    return dns.name.from_text(plain + ".")


def _rdata(rtype: str, value: Any) -> dns.rdata.Rdata:
    if rtype in ("TXT", "SPF"):
        return dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.from_text(rtype), _strings(value))
    if isinstance(value, tuple | list):
        value = " ".join(str(item) or "." for item in value)
    return dns.rdata.from_text("IN", rtype, value, origin=dns.name.root, relativize=False)


def _strings(value: Any) -> list[bytes]:
    if isinstance(value, tuple | list):
        return [item if isinstance(item, bytes) else str(item).encode() for item in value]
    octets = value if isinstance(value, bytes) else str(value).encode()
    return [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]


def _forged(query: dns.message.Message, behaviour: Behaviour) -> list[bytes]:
    if not behaviour.wrong_id_first:
        return []
    wrong_id = dns.message.make_response(query)
    wrong_id.id = query.id ^ 0x5555
    wrong_id.set_rcode(dns.rcode.NXDOMAIN)
    other = dns.message.make_query("forged.invalid.", "A", id=query.id)
    wrong_question = dns.message.make_response(other)
    return [wrong_id.to_wire(), wrong_question.to_wire()]


def _wire(answer: dns.message.Message, query: dns.message.Message, transport: str, behaviour: Behaviour) -> bytes:
    if transport == "tcp":
        return answer.to_wire(max_size=65535)
    limit = max(512, query.payload if query.edns >= 0 else 512)
    if not behaviour.truncated:
        try:
            return answer.to_wire(max_size=limit)
        except dns.exception.TooBig:
            pass
    answer.answer, answer.authority, answer.additional = [], [], []
    answer.flags |= dns.flags.TC
    return answer.to_wire()


def _spoilt(octets: bytes, query: dns.message.Message, transport: str, behaviour: Behaviour) -> bytes:
    end = 12 + len(query.question[0].name.to_wire() or b"") + 4
    if behaviour.junk:
        counts = struct.pack("!HHHH", 1, behaviour.junk_records, 0, 0)
        return octets[:4] + counts + octets[12:end] + behaviour.junk
    if behaviour.lower_case and transport == "udp":
        return octets[:12] + octets[12:end].lower() + octets[end:]
    return octets


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a listening TCP socket on the same port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in range(20):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            udp.bind((host, port))
            tcp.bind((host, udp.getsockname()[1]))
            tcp.listen(128)
        except OSError:
            udp.close()
            tcp.close()
            if port or attempt == 19:
                raise
        else:
            return udp, tcp
    raise AssertionError("unreachable")
