"""URLs in text and in HTML links, taken apart the way browsers do.

The one rule: linear time, and a defanged URL (`hxxp`, `[.]`) is none: what no reader can click is not looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from filterproxy.message.domains import ascii_domain, is_public_suffix, parse_ipv4, registrable_domain
from filterproxy.message.limits import Limits

_IN_TEXT = re.compile(
    r"(?<![a-z0-9@.+/-])(?:(?:https?|ftp)://[^\s<>\"`{}|^]+"
    r"|www\d{0,3}\.[^\s<>\"`{}|^/@]+\.[^\s<>\"`{}|^@]+"
    r"|(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,18}(?![\w@.-])(?:[:/][^\s<>\"`{}|^]*)?)",
    re.IGNORECASE,
)
_HREF = re.compile(r"(https?|ftp):[/\\]*([^/\\?#]*)([^?#]*)(?:\?([^#]*))?", re.IGNORECASE | re.DOTALL)
_PORT = re.compile(r":(\d{0,5})\Z")
_BARE_TLDS = re.compile(
    r"(?:com|net|org|info|biz|ru|de|it|fr|es|pl|nl|uk|eu|us|cn|br|in|io|co|top|xyz|online|site|shop|club|live|pro|app"
    r"|dev|store|click|link|ly|me|cc|ws|tk|su|icu|vip|win)\Z"
)
_TRAILING = ".,;:!?'\"*_~"
_CLOSING = {")": "(", "]": "[", "}": "{"}
_CONTROLS = str.maketrans("", "", "\t\r\n")


@dataclass(frozen=True, slots=True)
class Url:
    """One URL. `text` as written; `host` lower case and ASCII, an IP address dotted; `port` 0 when not written.

    `domain` is the registrable domain, empty for an IP address; `source` is text, html or header; `display` the
    text of the link in HTML.
    """

    text: str
    scheme: str
    host: str
    domain: str
    port: int
    path: str
    query: str
    userinfo: str
    source: str
    display: str = ""


def scan_text(text: str, source: str, limits: Limits, defects: set[str]) -> Iterator[Url]:
    """Yield the URLs a reader can click in plain text: with a scheme, with `www.`, or a bare domain."""
    words = [word for word in text.split() if "." in word[1:-1] or "://" in word]
    if not words:
        return
    for match in _IN_TEXT.finditer(" ".join(words)):
        found = _trim(match[0])
        written = found if "://" in found[:8] else f"http://{found}"
        if written is not found and not found.lower().startswith("www") and not _is_bare_domain(found):
            continue
        url = parse_url(written, source, limits, defects, text=found)
        if url is not None:
            yield url


def parse_url(
    href: str, source: str, limits: Limits, defects: set[str], *, text: str = "", display: str = ""
) -> Url | None:
    """Return the parts of an http, https or ftp URL, None for anything else; parses as the WHATWG URL Standard does."""
    written = href.strip()
    if len(written) > limits.url_length:
        written = written[: limits.url_length]
        defects.add("url_limit")
    match = _HREF.match(written.translate(_CONTROLS))
    if match is None:
        return None
    userinfo, _, authority = match[2].rpartition("@")
    port = _PORT.search(authority)
    host = normalize_host(authority[: port.start()] if port else authority)
    if not host:
        return None
    return Url(
        text=text or written, scheme=match[1].lower(), host=host, domain=registrable_domain(host),
        port=int(port[1] or 0) if port else 0, path=match[3], query=match[4] or "", userinfo=userinfo, source=source,
        display=display,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def normalize_host(host: str) -> str:
    """Return a host in its ASCII form, an IPv4 address of any spelling dotted; empty when it cannot be a host."""
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1].lower()
    if "%" in host:
        host = unquote(host)
    host = ascii_domain(host).strip(".")
    if not host or " " in host:
        return ""
    return parse_ipv4(host) or host


def unique(urls: Iterable[Url], limits: Limits, defects: set[str]) -> tuple[Url, ...]:
    """Return the URLs without repetitions, at most `limits.urls`."""
    seen: dict[Url, None] = {}
    for url in urls:
        if len(seen) >= limits.urls and url not in seen:
            defects.add("url_limit")
            break
        seen[url] = None
    return tuple(seen)


def _trim(text: str) -> str:
    """Cut punctuation that ends the sentence and not the URL."""
    while text:
        last = text[-1]
        if last in _TRAILING or (last in _CLOSING and text.count(last) > text.count(_CLOSING[last])):
            text = text[:-1]
        else:
            break
    return text


def _is_bare_domain(text: str) -> bool:
    host, slash, _ = text.partition("/")
    suffix = host.partition(":")[0].rpartition(".")[2]
    return bool(_BARE_TLDS.match(suffix) or (slash and suffix.islower() and is_public_suffix(suffix)))
