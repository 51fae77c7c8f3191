"""Eval functions that look addresses and hosts up in lists (Mail::SpamAssassin::Plugin::FreeMail, WLBLEval).

The rule: the lists are files of ours, one entry a line.
"""

from __future__ import annotations

import re

from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.spamassassin.bodies import body_lines
from filterproxy.ruleset.spamassassin.functions.function import Call, Function, once
from filterproxy.ruleset.spamassassin.functions.headers import first_of, senders, text_of, valid_domain
from filterproxy.ruleset.spamassassin.functions.html import html_facts, matches

MAX_ADDRESSES = 40
_ADDRESS = re.compile(
    r"(?<![a-z0-9!#$%&'*+/=?^_`{|}~.-])([a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[a-z0-9][a-z0-9-]{0,60}\.){1,4}[a-z]{2,18})"
    r"(?![a-z0-9-])",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"<?https?://\S{0,255}(?:@|%40)\S{0,255}", re.IGNORECASE)
_QUOTED = re.compile(r"\A(?:>|\s{1,10}(?!(?:fa(?:x|csi)|tel|phone|e?-?mail))[a-z]{2,11}:)", re.IGNORECASE)
_ROLE = re.compile(
    r"(?:abuse|support|sales|info|helpdesk|contact|kontakt|(?:post|host|domain)master|undisclosed.*"
    r"|request-[a-f0-9]{16}|bounced?-|[a-f0-9]{8}(?:\.[a-f0-9]{8}|-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})"
    r"|.+=.+=.+)@",
    re.IGNORECASE,
)
_BULK = re.compile(
    r"(?:\A(?:post|host|domain)master|\Adouble-bounce|\A(?:sentto|owner|return|(?:gr)?bounced?)-.+"
    r"|-(?:request|bounces?|admin|owner)|\b(?:do[._-t]?)?no[._-t]?repl(?:y|ies)|.+=.+)@",
    re.IGNORECASE,
)


def _is_free(call: Call, address: str) -> bool:
    """Tell whether an address is one of a free mail provider: its domain is listed, or its first label with `.*`."""
    domain = address.rpartition("@")[2]
    if not address or _ROLE.match(address):
        return False
    return call.listed(domain) or any(map(call.listed, _wild(domain.split("."))))


def _wild(labels: list[str]) -> list[str]:
    """Return the ways in which a list may name a provider under many top-level domains."""
    first, *rest = labels
    if len(rest) == 1:
        return [f"{first}.*"]
    if len(rest) == 2:
        return [f"{first}.*.*", f"{first}.{rest[0][:2]}*.*", f"{first}.{rest[0]}.*"]
    return []


def _free_header(call: Call) -> bool:
    query = call.arguments[0] if call.arguments[0].endswith(":addr") else f"{call.arguments[0]}:addr"
    return _any_free(call, text_of(call.facts, query).lower().split("\n"), call.arguments[1:2])


def _any_free(call: Call, addresses: list[str], patterns: object) -> bool:
    wanted = list(patterns) if isinstance(patterns, tuple | list) else []
    return any(_is_free(call, item) and all(matches(pattern, item) for pattern in wanted) for item in addresses)


def _free_from(call: Call) -> bool:
    return _any_free(call, senders(call.facts), call.arguments[:1])


@once
def _body_addresses(facts: Facts) -> list[str]:
    """Return the addresses that the text of the message names for an answer, in lower case."""
    found: dict[str, None] = {}
    for item in html_facts(facts):
        for href in item.links:
            match = _ADDRESS.match(href, 7) if href.lower().startswith("mailto:") else None
            if match:
                found.setdefault(match[1].lower())
    for line in body_lines(facts.message):
        text = _IN_URL.sub(" ", line.decode("utf-8", "replace"))
        if "@" not in text:
            continue
        for match in _ADDRESS.finditer(text):
            if not _QUOTED.match(text[match.end() : match.end() + 24]) and valid_domain(match[1]):
                found.setdefault(match[1].lower())
        if len(found) >= MAX_ADDRESSES:
            break
    return list(found)[:MAX_ADDRESSES]


def _free_reply_to(call: Call) -> bool:
    """Tell whether the author and where answers go, or the text, name different free mail addresses."""
    if _BULK.search(first_of(call.facts, "EnvelopeFrom")):
        return False
    authors = [item for item in text_of(call.facts, "From:addr").lower().split("\n") if item]
    answers = [item for item in text_of(call.facts, "Reply-To:addr").lower().split("\n") if item]
    author_free = any(_is_free(call, item) for item in authors)
    answer_free = any(_is_free(call, item) for item in answers)
    if author_free and answer_free and not set(authors) & set(answers):
        return True
    to_answer = call.arguments[:1] != ("reply",)
    if (to_answer and not answer_free) or (not to_answer and ((answers and not answer_free) or not author_free)):
        return False
    named = _body_addresses(call.facts)
    free = [item for item in named if _is_free(call, item)]
    if len(named) >= 5 or len(free) >= 3:
        return False
    compared = answers if to_answer or answer_free else authors
    return any(item != other for item in free for other in compared)


def _url_host_listed(call: Call) -> bool:
    return any(call.listed(url.host) for url in call.facts.message.urls)


FUNCTIONS = {
    "check_freemail_header": Function(_free_header, 1, 2, needs_list=True),
    "check_freemail_from": Function(_free_from, 0, 1, needs_list=True),
    "check_freemail_replyto": Function(_free_reply_to, 0, 1, needs_list=True),
    "check_uri_host_listed": Function(_url_host_listed, 1, 1, needs_list=True),
}
