"""URLs in text and in HTML links, taken apart the way browsers do.

The one rule: linear time, and a defanged URL (`hxxp`, `[.]`) is none: what no reader can click is not looked up.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from filterproxy.message.domains import ascii_domain, is_public_suffix, parse_ipv4, registrable_domain
from filterproxy.message.limits import Limits

# What ends a URL in running text, the punctuation of scripts that write no spaces included.
_STOP = r"\s<>\"`{}|^\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f\uff08\uff09\u300a-\u3011\u201c\u201d\u2018\u2019\u2026"
_IN_TEXT = re.compile(
    rf"(?<![a-z0-9@.+/_-])(?:(?:https?|ftp)://[^{_STOP}]+"
    rf"|www\d{{0,3}}\.[^{_STOP}/@]+\.[^{_STOP}@]+"
    rf"|(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.){{1,8}}[a-z]{{2,18}}(?![\w@.-])(?:[:/][^{_STOP}]*)?)",
    re.IGNORECASE,
)
_ABSOLUTE = re.compile(r"(https?|ftp):[/\\]*([^/\\?#]*)([^?#]*)(?:\?([^#]*))?", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+-]*:(?!\d)", re.IGNORECASE)
_PORT = re.compile(r":(\d{0,5})\Z")
_HOST = re.compile(r"[\w.-]{1,255}\Z")
# Top-level domains that make a bare `name.tld` a link; any other needs a path after it.
_BARE_TLD = re.compile(
    r"(?:com|net|org|info|biz|ru|de|it|fr|es|pl|nl|uk|eu|us|cn|br|in|io|co|top|xyz|online|site|shop|club|live|pro|app"
    r"|dev|store|click|link|ly|me|cc|ws|tk|su|icu|vip|win)\Z"
)
_TRAILING = ".,;:!?'\"*_~"
_CLOSING = {")": "(", "]": "[", "}": "{"}
_MAX_TRIMS = 8
_MAX_HOST = 3 * 255  # a host may be written in percent encoding
_LINE_BREAKS = str.maketrans("", "", "\t\r\n")
_C0_OR_SPACE = "".join(map(chr, range(0x21)))


@dataclass(frozen=True, slots=True)
class Url:
    """One URL. `text` as written; `host` lower case and ASCII, an IP address in its usual form; `port` 0 if not given.

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
        url = parse_href(_trim(match[0][: limits.url_length + 1]), source, limits, defects)
        if url is not None:
            yield url


def parse_href(href: str, source: str, limits: Limits, defects: set[str], display: str = "") -> Url | None:
    """Return the parts of an http, https or ftp URL as the WHATWG URL Standard reads it, None for anything else.

    Without a scheme `//host`, `www.` and a bare domain are http, as mail programs take them.
    """
    written = href.strip(_C0_OR_SPACE)
    if len(written) > limits.url_length:
        written = written[: limits.url_length]
        defects.add("url_limit")
    match = _ABSOLUTE.match(_with_scheme(written.translate(_LINE_BREAKS)))
    if match is None:
        return None
    userinfo, _, authority = match[2].rpartition("@")
    port = _PORT.search(authority)
    host = normalize_host(authority[: port.start()] if port else authority)
    if not host:
        return None
    return Url(
        text=written, scheme=match[1].lower(), host=host, domain=registrable_domain(host),
        port=int(port[1] or 0) if port else 0, path=match[3], query=match[4] or "", userinfo=userinfo, source=source,
        display=display,
    )  # fmt: skip


def normalize_host(host: str) -> str:
    """Return a host in its ASCII form, an IP address of any spelling in its usual one; empty when it cannot be one."""
    return _normalize(host) if len(host) <= _MAX_HOST else ""


@lru_cache(maxsize=4096)
def _normalize(host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return ""
        return str(address.ipv4_mapped or address)
    if "%" in host:
        host = unquote(host)
    host = ascii_domain(host).strip(".")
    if not _HOST.match(host):
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


def _with_scheme(href: str) -> str:
    if href.startswith(("//", "\\\\")):
        return f"http:{href}"
    if _SCHEME.match(href):
        return href
    if href[:4].lower().startswith("www") or _is_bare_domain(href):
        return f"http://{href}"
    return href


def _is_bare_domain(text: str) -> bool:
    host, slash, _ = text.partition("/")
    name, _, suffix = host.partition(":")[0].rpartition(".")
    return bool(name and (_BARE_TLD.match(suffix) or (slash and suffix.islower() and is_public_suffix(suffix))))


def _trim(text: str) -> str:
    """Cut punctuation that ends the sentence and not the URL."""
    text = text.rstrip(_TRAILING)
    for _ in range(_MAX_TRIMS):
        last = text[-1:]
        if last not in _CLOSING or text.count(last) <= text.count(_CLOSING[last]):
            break
        text = text[:-1].rstrip(_TRAILING)
    return text
