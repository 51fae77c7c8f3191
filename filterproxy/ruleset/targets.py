"""Where the matchers of the rule language find their texts: one target for each, with its fields.

The rule: names here are those of the schema; reading them never raises, whatever the message is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from urllib.parse import unquote

from filterproxy.core.envelope import domain_of
from filterproxy.message import Attachment, Header, Mailbox, Url, parse_addresses
from filterproxy.message.domains import ascii_domain, registrable_domain
from filterproxy.ruleset.facts import Facts, Field, Target

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z][a-z0-9-]{1,30}", re.IGNORECASE)
_ADDRESS = re.compile(r"@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8})", re.IGNORECASE)
_MAX_DISPLAY = 300


def _text_target(key: str, items: Callable[[Facts], Sequence[str]], *, one_text: bool = False) -> Field:
    return Field(key, Target(key, items, one_text), lambda item: item)


def _one(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()


def _joined(texts: Iterable[str]) -> tuple[str, ...]:
    return _one("\n".join(text for text in texts if text))


SUBJECT = _text_target("subject", lambda facts: [h.value for h in facts.message.headers.all("subject")], one_text=True)
BODY = _text_target("body", lambda facts: (facts.message.text,), one_text=True)
VISIBLE = _text_target("html.visible", lambda facts: _joined(d.visible for d in facts.message.html), one_text=True)
HIDDEN = _text_target("html.hidden", lambda facts: _joined(d.hidden for d in facts.message.html), one_text=True)
HEADER_NAMES = _text_target(
    "header_names", lambda facts: (" ".join(h.name.lower() for h in facts.message.headers),), one_text=True
)
CHARSET = _text_target("charset", lambda facts: [p.charset for p in facts.message.parts if p.is_text and p.charset])
LANGUAGE = _text_target("language", lambda facts: _one(facts.message.language))
DEFECT = _text_target("defect", lambda facts: sorted(facts.message.defects))
RCPT_TO = _text_target("envelope.rcpt_to", lambda facts: facts.transaction.envelope.rcpt_to)
RCPT_DOMAIN = _text_target(
    "when.rcpt_domain",
    lambda facts: list(dict.fromkeys(ascii_domain(domain_of(path)) for path in facts.transaction.envelope.rcpt_to)),
)
CLIENT_NAME = _text_target("client.name", lambda facts: _one(facts.transaction.client.name))
CLIENT_HELO = _text_target("client.helo", lambda facts: _one(facts.transaction.helo))
CLIENT_USER = _text_target("client.user", lambda facts: _one(facts.transaction.user))


def _mail_from(facts: Facts) -> tuple[str, ...]:
    sender = facts.transaction.envelope.mail_from
    return () if sender is None else (sender,)


MAIL_FROM = _text_target("envelope.mail_from", _mail_from)


def _bytes_target(key: str, items: Callable[[Facts], Sequence[bytes]], *, one_text: bool) -> Field:
    return Field(key, Target(key, items, one_text), lambda item: item, normalize=False, raw=True)


RAW_MESSAGE = _bytes_target("raw_message", lambda facts: (facts.message.raw,), one_text=True)
RAW_BODY = _bytes_target("raw_body", lambda facts: (facts.message.body,), one_text=True)
HEADERS_DECODED = Field(
    "headers.decoded",
    Target("headers.decoded", lambda facts: ("\n".join(f"{h.name}: {h.value}" for h in facts.message.headers),), True),
    lambda item: item,
    normalize=False,
)
HEADERS = _bytes_target("headers", lambda facts: (facts.message.header_block,), one_text=True)


@cache
def header(names: tuple[str, ...], part: str, *, raw: bool, only: str | None = None) -> Field:
    """Return the field of all header fields of these names (in lower case), or of a part of their mailboxes."""
    key = f"header.{','.join(names)}.{part}.{only or 'all'}"
    if raw:
        return _bytes_target(
            key + ".raw", lambda facts: [h.raw_value for h in _header_fields(facts, names, only)], one_text=False
        )
    if part == "value":
        return _text_target(key, lambda facts: [h.value for h in _header_fields(facts, names, only)])
    return _text_target(key, lambda facts: [text for m in mailboxes(facts, names, only) if (text := getattr(m, part))])


def _header_fields(facts: Facts, names: Iterable[str], only: str | None) -> list[Header]:
    """Return the header fields of these names, `*` for all."""
    headers = facts.message.headers
    found = list(headers) if "*" in names else [item for name in names for item in headers.all(name)]
    if only is None:
        return found
    return found[:1] if only == "first" else found[-1:]


def mailboxes(facts: Facts, names: Iterable[str], only: str | None = None) -> list[Mailbox]:
    """Return the mailboxes of all header fields of these names."""
    headers = _header_fields(facts, names, only)
    limit = facts.message.limits.addresses
    return [mailbox for found in headers[:limit] for mailbox in parse_addresses(found.unfolded)][:limit]


URLS = Target("url", lambda facts: facts.message.urls)
URL_FIELDS: dict[str, Field] = {
    name: Field(f"url.{name}", URLS, read)
    for name, read in {
        "url": lambda url: url.text,
        "host": lambda url: url.host,
        "domain": lambda url: url.domain,
        "path": lambda url: url.path,
        "query": lambda url: url.query,
        "scheme": lambda url: url.scheme,
        "userinfo": lambda url: url.userinfo,
        "source": lambda url: url.source,
        "display": lambda url: url.display,
        "decoded": lambda url: unquote(url.text),
    }.items()
}


def url_port(url: Url) -> float:
    """Return the port as written, 0 when none is."""
    return url.port


def names_other_site(url: Url) -> bool:
    """Tell whether the link's text names a host of another registrable domain than the link leads to."""
    if not url.display or url.source != "html":
        return False
    match = _HOST.search(url.display[:_MAX_DISPLAY])
    named = registrable_domain(match[0].lower()) if match else ""
    return bool(named) and _is_listed(named) and named != url.domain


@lru_cache(maxsize=1024)
def _is_listed(domain: str) -> bool:
    from filterproxy.message.domains import is_public_suffix

    return is_public_suffix(domain.partition(".")[2])


ATTACHMENTS = Target("attachment", lambda facts: facts.message.attachments)
ATTACHMENT_FIELDS: dict[str, Field] = {
    "filename": Field("attachment.filename", ATTACHMENTS, lambda item: item.filename),
    "extension": Field("attachment.extension", ATTACHMENTS, lambda item: item.extension),
    "type": Field("attachment.type", ATTACHMENTS, lambda item: item.content_type),
    "detected_type": Field("attachment.detected_type", ATTACHMENTS, lambda item: item.detected_type, costly=True),
    "member": Field("attachment.member", ATTACHMENTS, lambda item: [m.name for m in item.members], costly=True),
    "sha256": Field("attachment.sha256", ATTACHMENTS, lambda item: item.sha256, costly=True),
}


def attachment_size(attachment: Attachment) -> float:
    """Return the decoded size in bytes."""
    return attachment.size


@cache
def unnormalized(of: Field) -> Field:
    """Return the field as decoded, not brought to normal form."""
    if not of.normalize:
        return of
    return replace(of, key=of.key + ".as_decoded", normalize=False, within=of.within and unnormalized(of.within))


def identity(facts: Facts, name: str) -> frozenset[str]:
    """Return the values of an identity (`from.domain`) in lower case; of a site, the registrable domains."""
    if name == "url.site":
        links = (url for url in facts.message.urls if url.source != "header" and url.scheme in ("http", "https"))
        return frozenset(url.domain or url.host for url in links) - {""}
    who, _, what = name.partition(".")
    addresses = _addresses(facts, who)
    if addresses is None:
        host = facts.transaction.helo if who == "helo" else facts.transaction.client.name
        return _hosts([host.lower().strip("[].")], what)
    if what == "name_site":
        return _hosts((m[1].lower() for box in addresses for m in _ADDRESS.finditer(box.display_name)), "site")
    if what in ("address", "name"):
        attribute = "display_name" if what == "name" else "address"
        return frozenset(getattr(mailbox, attribute).lower() for mailbox in addresses) - {""}
    return _hosts([mailbox.domain for mailbox in addresses], what)


def _addresses(facts: Facts, who: str) -> Sequence[Mailbox] | None:
    envelope = facts.transaction.envelope
    if who in ("from", "sender", "reply_to", "to"):
        return mailboxes(facts, [who.replace("_", "-")])
    if who == "message_id":
        address = facts.message.message_id.strip(" <>")
        return [Mailbox("", address, "", domain_of(address))]
    if who in ("mail_from", "rcpt_to"):
        paths = [envelope.mail_from or ""] if who == "mail_from" else envelope.rcpt_to
        return [Mailbox("", path, "", domain_of(path)) for path in paths]
    return None


def _hosts(hosts: Iterable[str], what: str) -> frozenset[str]:
    found = frozenset(hosts) - {""}
    return frozenset(registrable_domain(host) or host for host in found) if what == "site" else found


def html_tag_count(facts: Facts, tag: str) -> int:
    """Return how often an element occurs in all HTML parts."""
    return sum(document.tags.get(tag.lower(), 0) for document in facts.message.html)


def html_links(facts: Facts) -> int:
    """Return the number of links in all HTML parts."""
    return sum(len(document.links) for document in facts.message.html)


def html_images(facts: Facts) -> int:
    """Return the number of images in all HTML parts."""
    return sum(len(document.images) for document in facts.message.html)
