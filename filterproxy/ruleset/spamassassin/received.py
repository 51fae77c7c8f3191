"""One Received field as a relay: who said what to whom, in the many ways mail servers write it (RFC 5321, section 4.4).

The rule: each form is tried at the start of the field and takes linear time; a form that is not known leaves nothing.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum

MAX_LENGTH = 4000

_IP = (
    r"(?:(?:IPv6:)?(?:\d{1,3}\.){3}\d{1,3}"
    r"|(?:IPv6:)?(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{0,4}|(?:\d{1,3}\.){3}\d{1,3})(?:%[\w.~-]+)?)"
)
_DATE = re.compile(
    r"[\s;]+(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?\d+ (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d+ "
    r"\d+:\d+(?::\d+)? \S+\Z"
)
_ID = re.compile(r" id <?([^\s<>;]{3,})")
_BY = re.compile(r" by (\S+)(?:[^-A-Za-z0-9;.]|\Z)")
_HELO = re.compile(r"\bhelo=([-\w.^+&:=?!@%*$\\/]+)|\b(?:HELO|EHLO) ([-\w.^+&:=?!@%*$\\/]+)")
_SENDER = re.compile(r"(?:return-path:? |envelope-(?:sender|from)[ =])(\S+)\b", re.IGNORECASE)
_STRANGE = re.compile(r"[\s\0#\[\]()<>|]")
_SKIPPED = re.compile(
    r"\S+ by \S+ (?:with|via|for|\()|\S+ (?:(?:with|via|for) \S+|\(unverified\)) by\b|\S+@\S+ by \S+ "
    r"|(?:localhost|127\.0\.0\.1) \((?:\S+@)?(?:localhost|127\.0\.0\.1)[)\[]|\S+ \(\S+ \[local\]\) by |\S+ id \S+\Z"
    r"|\S+ \(\[unix socket\]\) by |\(AUTH: \S+\) by |Unknown/Local \(|\S+ \(unknown\) by |mail pickup service by "
    r"|\S+ \((?:\S+@)?(?:localhost|127\.0\.0\.1)\) |\S+ named \S+ by gmailapi"
)


def _form(pattern: str, *, asked_dns: bool = False) -> tuple[re.Pattern[str], bool]:
    return re.compile(pattern.replace("IP", _IP).replace("{by}", r"by (?P<by>\S+)"), re.IGNORECASE), asked_dns


# In the order in which they are tried; whether the server looked the client's name up.
_EXIM = (
    _form(r"\[(?P<ip>IP)\] \((?P<more>[^)]*)\) {by} "),
    _form(r"(?P<rdns>\S+) \(\[(?P<ip>IP)\](?::\d+)?(?P<more>[^)]*)\) {by} "),
    _form(r"(?P<both>\S+) \[(?P<ip>IP)\](?::\d+)? {by} "),
)
_FORMS = (
    _form(r"(?P<helo>\S+) \((?P<rdns>\S+) ?\[(?P<ip>IP)\]\) {by} \(Postfix\) with", asked_dns=True),
    _form(r"(?P<helo>\S*) \(\[(?P<ip>IP)\][^)]{0,40}\) {by} with Microsoft SMTPSVC"),
    _form(r"(?P<helo>\S+) \(\[?(?P<ip>IP)\]?\) {by} .{0,80}with (?:Microsoft SMTP Server|mapi)"),
    _form(r"(?P<ip>IP) \(\[IP\]\) {by} .{0,80}with HTTP"),
    _form(r"(?P<helo>\S+) \((?P<rdns>\S+) \[(?P<ip>IP)\][^()]{0,80}\) {by} \((?!qmail-)", asked_dns=True),
    _form(r"(?P<helo>\S+) \((?P<rdns>\S+) \[(?P<ip>IP)\]\) {by} with \S+ \(", asked_dns=True),
    _form(r"(?P<rdns>\S+) \(\[(?P<ip>IP)\] helo=(?P<helo>\S+)\) {by} with "),
    _form(r"(?P<helo>\S+) \(<unknown\S*>\[(?P<ip>IP)\]\) {by} "),
    _form(r"(?P<helo>\S+) \((?P<rdns>\S+\.\S+)\[(?P<ip>IP)\]\) {by} ", asked_dns=True),
    _form(r"(?P<helo>\S+) \((?P<ident>\S*)@\[(?P<ip>IP)\][^()]{0,80}\) {by} \(", asked_dns=True),
    _form(r"(?P<rdns>\S+) \(LHLO (?P<helo>\S*)\) \((?P<ip>IP)\) {by} with LMTP"),
    _form(r"(?P<rdns>\S+) \((?:HELO|EHLO) (?P<helo>\S*)\) \[(?P<ip>IP)\] {by} "),
    _form(r"(?P<rdns>\S+) \((?:HELO|EHLO) (?P<helo>[^ ()]*)\) \((?:(?P<ident>\S*)@)?\[?(?P<ip>IP)\]?[^()]{0,80}\)"
          r"(?: \(envelope-sender <\S+>\))? {by} ", asked_dns=True),
    _form(r"(?P<both>\S+) \((?:(?P<ident>\S*)@)?(?P<ip>IP)\)(?: \(envelope-sender <\S+>\))? {by} .{0,80}with (?:\S+ )?"
          r"(?:SMTP|QMQP)(?! id )", asked_dns=True),
    _form(r"\S+ \( \[(?P<ip>IP)\]\).{0,80}? {by} "),
    _form(r"\((?P<helo>\S+) \[(?P<ip>IP)\]\) {by} "),
    _form(r"\[(?P<ip>IP)\] {by} "),
    _form(r"\(\[?(?P<ip>IP)\]?\) {by} "),
    _form(r"(?P<helo>\S+) \[(?P<ip>IP)\] {by} \[IP\] with ", asked_dns=True),
    _form(r"(?P<helo>\S+) \(\[(?P<ip>IP)\]\) {by} \(", asked_dns=True),
    _form(r"(?P<helo>\S+) \((?P<rdns>\S+) \[(?P<ip>IP)\]\).{0,120}? {by}\b", asked_dns=True),
    _form(r"(?P<helo>\S+) \(\[(?P<ip>IP)(?:[.:]\d+)?\]\).{0,120}? {by} ", asked_dns=True),
    _form(r"(?P<both>\S+) \((?:(?P<ident>\S*)@)?\[?(?P<ip>IP)\]?\).{0,120} {by} ", asked_dns=True),
    _form(r"(?P<rdns>\S+)\((?P<ip>IP)(?:, (?:HELO|EHLO) (?P<helo>\S*))?\) {by} via smap ", asked_dns=True),
    _form(r"\[(?P<ip>IP)\] \((?:account \S+ )?(?:HELO|EHLO) (?P<helo>\S*)\) {by} \("),
    _form(r"(?P<helo>[^\d]\S+) \((?P<ip>IP)\) {by} "),
    _form(r"(?P<helo>\S+) \(\[(?P<ip>IP)\] \[\S+\]\) {by} with "),
    _form(r"(?P<ip>IP) (?:\((?:HELO|EHLO) (?P<helo>\S*)\) )?{by} "),
    _form(r"(?P<helo>\S+) \((?P<rdns>\S+)\[(?P<ip>IP)\]\) {by} ", asked_dns=True),
    _form(r"(?P<helo>\S+) \[(?P<ip>IP)\] {by} "),
    _form(r"(?P<rdns>\S+)\((?P<ip>IP)\) {by} "),
    _form(r"(?P<helo>\S+) \(unverified \[(?P<ip>IP)\]\) {by} "),
    _form(r"(?P<rdns>\S+) \((?:\S+@)?(?P<ip>IP)\) {by} with "),
    _form(r"(?P<helo>\S+) \(\S+@(?P<ip>IP) with login\) {by} "),
)  # fmt: skip
_FETCHED = re.compile(r"with (?:POP3|IMAP)")
_WITH_NAME = re.compile(rf"\S+ \((?:\S+ )?\[{_IP}\]", re.IGNORECASE)
_ANY_IP = re.compile(rf"\[({_IP})\]", re.IGNORECASE)
_HELO_OF_EXIM = re.compile(r"helo=(\S+)")
_IDENT_OF_EXIM = re.compile(r"ident=(\S*)")

_AUTHENTICATED = (
    (re.compile(r" by .* with ((?:ES|L|UTF8S|UTF8L)MTPS?A|ASMTP|HTTP[SU]?)(?: |;|\Z)", re.IGNORECASE), ""),
    (re.compile(r"from .{0,400}?(?:\]\)|\)\]) \(AUTH: (LOGIN|PLAIN|DIGEST-MD5|CRAM-MD5) \S+"), ""),
    (re.compile(r"from .{0,400}?\](?: \([^)]*\))?\) .{0,200}?\(.{0,200}?authenticated.{0,200}?\).{0,400}? by"),
     "Sendmail"),
    (re.compile(r".{0,800}\) \(Authenticated sender: \S+\) by \S+ \(Postfix\) with "), "Postfix"),
    (re.compile(r".{0,800}CommuniGate Pro (?:HTTP|SMTP|XIMSS|IMAP).{0,800} \(account "), "Communigate"),
    (re.compile(r".{0,800} with Microsoft Exchange Server HTTP-DAV\b"), "HTTP-DAV"),
    (re.compile(r".{0,800} by .{0,800} \(via (HTTP.?)\)(?: |;|\Z)", re.IGNORECASE), ""),
)  # fmt: skip


class NoRelay(Enum):
    """Why a field is no relay: it tells of no hop over a network, of a mailbox that was fetched, or nothing known."""

    NO_HOP = "no hop"
    FETCHED = "fetched"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Relay:
    """One hop. `looked_up`: the server asked for the client's name, so an empty `rdns` means that there is none."""

    ip: str
    by: str = ""
    helo: str = ""
    rdns: str = ""
    ident: str = ""
    sender: str | None = None
    id: str = ""
    auth: str = ""
    looked_up: bool = False
    internal: bool = False

    @property
    def private(self) -> bool:
        """Tell whether the address is one of a private network."""
        try:
            address = ipaddress.ip_address(self.ip)
        except ValueError:
            return False
        return any(address in network for network in _PRIVATE if network.version == address.version)

    def __str__(self) -> str:
        return (
            f"[ ip={self.ip} rdns={self.rdns} helo={self.helo} by={self.by} ident={self.ident} "
            f"envfrom={self.sender or ''} intl={int(self.internal)} id={self.id} auth={self.auth} msa=0 ]"
        )


_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                 "::1/128", "fc00::/7", "fe80::/10")
)  # fmt: skip


def parse_received(text: str) -> Relay | NoRelay:
    """Return the relay of a Received field's value, or why there is none."""
    line = re.sub(r"\s+", " ", text[:MAX_LENGTH]).strip(" ")
    while line.endswith(";"):
        line = line[:-1].rstrip()
    if not line[:6].lower().startswith(("from ", "(from ")):
        return NoRelay.NO_HOP
    if re.search(r"\bwith local for\b", line) or re.match(r"from (?!\[[\d.]+\])\S+ by [^\s;]+ ?;", line, re.IGNORECASE):
        return NoRelay.NO_HOP
    line = _DATE.sub("", line).replace(")by ", ") by ")
    relay = _relay(line)
    if isinstance(relay, Relay):
        _clean(relay)
    return relay


def _relay(line: str) -> Relay | NoRelay:
    said = line.partition(" ")[2]
    defaults = Relay("", auth=_auth(line), id=_first(_ID, line), by=_first(_BY, line), helo=_first(_HELO, line))
    sender = _SENDER.search(said)
    defaults.sender = sender[1] if sender else None
    if "Exim" in said:
        if re.search(r"\bwith local(?:-\S+)? ", said):
            return NoRelay.NO_HOP
        found = _match(_EXIM, said, defaults)
        if found:
            return found
    if _FETCHED.search(said) and not _WITH_NAME.match(said):
        return NoRelay.FETCHED
    found = _match(_FORMS, said, defaults)
    if found:
        return found
    if _SKIPPED.match(said):
        return NoRelay.NO_HOP
    address = _ANY_IP.search(said)
    if address and defaults.by:
        defaults.ip = address[1]
        return defaults
    return NoRelay.UNKNOWN


def _first(pattern: re.Pattern[str], line: str) -> str:
    match = pattern.search(line)
    return next((group for group in match.groups() if group), "") if match else ""


def _auth(line: str) -> str:
    for pattern, name in _AUTHENTICATED:
        match = pattern.match(line) if pattern.pattern.startswith((".{", "from")) else pattern.search(line)
        if match:
            return name or match[1]
    return ""


def _match(forms: tuple[tuple[re.Pattern[str], bool], ...], said: str, relay: Relay) -> Relay | None:
    for pattern, asked in forms:
        match = pattern.match(said)
        if match:
            return _filled(relay, match.groupdict(), asked)
    return None


def _filled(relay: Relay, groups: dict[str, str | None], asked: bool) -> Relay:
    relay.ip, relay.by, relay.looked_up = groups["ip"] or "", groups["by"] or "", asked
    relay.rdns = groups.get("rdns") or groups.get("both") or ""
    relay.ident = groups.get("ident") or ""
    more = groups.get("more")
    if "helo" in groups:
        relay.helo = groups["helo"] or ""
    elif "both" in groups or "rdns" in groups:
        relay.helo = relay.rdns
    if more:
        relay.helo = _first(_HELO_OF_EXIM, more) or relay.helo
        relay.ident = _first(_IDENT_OF_EXIM, more)
    return relay


def _clean(relay: Relay) -> None:
    relay.ident, relay.rdns = (relay.rdns.rpartition("@")[::2]) if "@" in relay.rdns else (relay.ident, relay.rdns)
    relay.ident = relay.ident.removeprefix("IDENT:")
    relay.rdns = relay.rdns.rstrip(".")
    if relay.rdns.lower() in ("unknown", "softdnserr") or relay.rdns.startswith("["):
        relay.rdns = ""
    relay.ip = re.sub(r"%.*", "", relay.ip.lower().removeprefix("ipv6:")) if ":" in relay.ip else relay.ip
    relay.ip = re.sub(r"\A[0:]*:ffff:((?:\d+\.){3}\d+)\Z", r"\1", relay.ip)
    relay.by = relay.by.rstrip(";")
    for name in ("ip", "rdns", "helo", "by", "ident"):
        setattr(relay, name, _STRANGE.sub("!", getattr(relay, name)))
    if relay.sender is not None:
        relay.sender = _STRANGE.sub("!", relay.sender.strip(" <>"))
