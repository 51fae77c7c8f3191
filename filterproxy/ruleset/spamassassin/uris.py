"""`uri`: the addresses of a message as SpamAssassin lists them, as they are written and in their plainer forms.

The rule: linear time and bounded: each address has at most a handful of forms.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

from filterproxy.message import Message
from filterproxy.message.domains import ascii_domain, is_public_suffix, parse_ipv4
from filterproxy.message.html_tokens import START, tokenize
from filterproxy.ruleset.spamassassin.bodies import body_lines, effective_type, leaves, source_text

MAX_URIS = 1000
MAX_LENGTH = 8192

_END = r"\s><\"`}\]{\[|\x1b\xa0"
_END_OF_MAIL = _END + r",('\x80-\uffff"
_SCHEME = re.compile(rf"(?<![a-z0-9_])((?:https?|ftp)://|(?:www\d{{0,2}}|ftp)\.)[^{_END}]{{1,2048}}", re.IGNORECASE)
_DELIMITERS = " \t\n\r\f\v><\"`}]{[|\x1b\xa0,('@;"
_MAIL_END = re.compile(rf"@[^{_END_OF_MAIL}]{{1,251}}")
_BARE = re.compile(
    r"(?<![\w.@%-])([a-z0-9](?:[a-z0-9_-]{0,62}\.){1,10}([a-z]{2,18}))(?![\w.@-])\.?(?::\d{1,5})?"
    rf"(?:/[^{_END}]{{1,2048}})?",
    re.IGNORECASE,
)
_TRAILING = "-~!@#^&*()_+=:;'?,."
_HTTP = re.compile(r"(https?://)([^@/?#]*@)?([^/?#:]+)(.*)\Z", re.IGNORECASE | re.DOTALL)
_REDIRECTED = re.compile(r"https?:/{0,2}[^&#]+", re.IGNORECASE)
_LINKS = {
    **dict.fromkeys(("body", "table", "tr", "td"), ("background",)),
    **dict.fromkeys(("a", "area", "link"), ("href", "data-saferedirecturl")),
    **dict.fromkeys(("img", "frame", "iframe", "embed", "script", "bgsound"), ("src",)),
    "form": ("action",),
    "base": ("href",),
}
_REFRESH = re.compile(r"\burl\s*=\s*([^;]*)", re.IGNORECASE)


def uris(message: Message) -> list[bytes]:
    """Return each address of links and text in its forms, without repetitions."""
    found: dict[str, None] = {}
    for uri in _written(message):
        for form in _forms(uri):
            found.setdefault(form[:MAX_LENGTH])
        if len(found) >= MAX_URIS:
            break
    return [form.encode("utf-8", "replace") for form in found]


def _written(message: Message) -> Iterator[str]:
    for part in leaves(message):
        if effective_type(part) == "text/html":
            yield from _in_html(source_text(part)[: 256 * 1024])
    for line in body_lines(message):
        yield from _in_text(line.decode("utf-8", "replace"))


def _in_html(source: str) -> Iterator[str]:
    base = ""
    for kind, name, attributes in tokenize(source):
        if kind is not START:
            continue
        if name == "meta" and "refresh" in attributes.get("http-equiv", "").lower():
            match = _REFRESH.search(attributes.get("content", ""))
            if match:
                yield match[1].strip()
        for key in _LINKS.get(name, ()):
            value = attributes.get(key, "").strip()
            if name == "base" and value.lower().startswith(("http://", "https://", "ftp://")):
                base = value if value.endswith("/") else value.rpartition("/")[0] + "/"
            if value:
                yield _absolute(value, base)


def _absolute(value: str, base: str) -> str:
    """Return a relative address below the page's base; any other as it is."""
    if not base or re.match(r"[a-z][a-z0-9+.-]*:|//|#|\?|&", value, re.IGNORECASE):
        return value
    return base + value.lstrip("/")


def _in_text(text: str) -> Iterator[str]:
    taken: list[tuple[int, int]] = []
    for match in _SCHEME.finditer(text):
        taken.append(match.span())
        uri = _trimmed(match[0])
        if not re.fullmatch(r"\w+:/{0,2}", uri):
            yield uri if "://" in uri[:8] else f"ftp://{uri}" if uri[:4].lower() == "ftp." else f"http://{uri}"
    yield from (uri for address in _addresses(text) for uri in _mailbox(address))
    for match in _BARE.finditer(text):
        inside = any(start <= match.start() < end for start, end in taken)
        if not inside and is_public_suffix(match[2].lower()):
            yield f"http://{_trimmed(match[0])}"


def _addresses(text: str) -> Iterator[str]:
    """Yield what stands around each @."""
    at = text.find("@")
    while at >= 0:
        left = text[max(at - 300, 0) : at]
        start = max((left.rfind(char) for char in _DELIMITERS), default=-1)
        local = left[start + 1 :][-251:]
        end = _MAIL_END.match(text, at)
        if local and end:
            yield _trimmed(local + end[0])
        at = text.find("@", at + 1)


def _trimmed(uri: str) -> str:
    opening = uri.find("(")
    closing = uri.rfind(")") if opening < 0 else -1
    return (uri[:closing] if closing >= 0 else uri).rstrip(_TRAILING)


def _mailbox(uri: str) -> Iterator[str]:
    address = uri if uri.lower().startswith("mailto:") else f"mailto:{uri.lstrip(':')}"
    _, at, domain = unquote_to_bytes(address).decode("utf-8", "replace").partition("@")
    host = re.split(r"[?&>]", domain, maxsplit=1)[0].rstrip(".")
    suffix = host.rpartition(".")[2].lower()
    if at and "." in host and "/" not in address.partition("@")[0] and is_public_suffix(suffix):
        yield address


def _forms(uri: str) -> Iterator[str]:
    """Yield an address as written, and what SpamAssassin makes of it: decoded, with scheme, host made plain."""
    uri = uri.replace("\n", "").replace("\r", "").strip()
    if len(uri) <= 1 or (uri[0] in "#?&/" and not uri.startswith("//")):
        if uri:
            yield uri
        return
    yield uri
    if uri.lower().startswith("mailto:") or re.match(r"[^:]*@", uri):
        yield from _mail_forms(uri)
        return
    for _ in range(3):
        plain = _plain(uri)
        yield plain
        yield from _host_forms(plain)
        match = _HTTP.match(plain)
        inner = _REDIRECTED.search(match[4]) if match else None
        if not inner or "." not in inner[0]:
            return
        uri = inner[0]
        yield uri


def _mail_forms(uri: str) -> Iterator[str]:
    for end in "?&":
        if end in uri.partition("@")[2]:
            yield uri[: uri.index(end, uri.index("@"))]
    match = re.search(r"<([^@>]+@[^>]+)>", uri)
    if match:
        yield f"mailto:{match[1]}"


def _plain(uri: str) -> str:
    plain = uri.replace("\\", "/")
    plain = re.sub(r"\A(https?:)/{0,2}", r"\1//", plain, flags=re.IGNORECASE)
    if "%" in plain:
        plain = unquote_to_bytes(plain).decode("utf-8", "replace")
    if not re.match(r"[-\w]+:", plain):
        plain = ("ftp://" if plain.startswith("ftp.") else "http://") + plain.removeprefix("//")
    plain = re.sub(r"\A(https?://[^/?#]+)([?#])", r"\1/\2", plain, flags=re.IGNORECASE)
    return html.unescape(plain) if "&#" in plain else plain


def _host_forms(plain: str) -> Iterator[str]:
    match = _HTTP.match(plain)
    if not match:
        return
    scheme, user, host, rest = match.groups()
    port = ":80" if scheme.lower() == "http://" else ":443"
    if rest.startswith(port) and not rest[len(port) : len(port) + 1].isdigit():
        yield scheme + host + rest[len(port) :]
    ascii_host = ascii_domain(host) or host
    for other in _other_hosts(host, ascii_host):
        if other != host:
            yield scheme + other + rest
    if scheme.lower() == "http://" and not user and not rest.startswith(":"):
        single = re.fullmatch(r"(?:www\.)?([^.]+)", ascii_host)
        if single and not ascii_host.isdigit() and ascii_host != "localhost" and "0x" not in ascii_host[:2]:
            yield f"{scheme}www.{single[1]}.com{rest}"


def _other_hosts(host: str, ascii_host: str) -> Iterable[str]:
    if ascii_host != host.lower():
        yield ascii_host
    trimmed = re.sub(r"[^0-9A-Za-z]+\Z", "", host[-300:])
    yield host[:-300] + trimmed
    address = parse_ipv4(ascii_host)
    if address:
        yield address
