"""Eval functions about header fields (Mail::SpamAssassin::Plugin::HeaderEval)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import combinations

from filterproxy.message.domains import is_public_suffix, registrable_domain
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.spamassassin.functions.function import Call, Function, once
from filterproxy.ruleset.spamassassin.header_texts import header_text, shown
from filterproxy.ruleset.spamassassin.relays import relays_of

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ILLEGAL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]")
_DATE = re.compile(r"(\s.?\d+ [A-Za-z]{3} \d+ \d+:\d+:\d+ \S+)")
_REPLY = re.compile(r"\A(?:(?:Re|Fwd|Fw|Aw|Antwort|WG|SV|VB|VS|VL):\s*)+", re.IGNORECASE)
# Character sets whose encoded form looks like capitals.
CAPITALS = re.compile(
    r"[-_a-z0-9]*(?:koi|jp|jis|euc|gb|big5|isoir|cp1251|windows-1251|georgianps|pt154|tis)[-_a-z0-9]*"
)
_TEMPLATE = re.compile(r"%[A-Z][A-Z_-]")
_FREE_TEXT = re.compile(
    r"(?:X-VMS-To|X-UIDL|X-Face|To|Cc|From|Subject|References|In-Reply-To|(?:X-|Resent-|X-Original-)?Message-Id):",
    re.IGNORECASE,
)
_IP = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}")
_SENDERS = ("From:addr", "Envelope-Sender:addr", "Resent-Sender:addr", "X-Envelope-From:addr", "EnvelopeFrom:addr")
MAX_RECIPIENTS = 256


def text_of(facts: Facts, query: str) -> str:
    """Return the text of a header query, empty when there is no such field."""
    found = header_text(facts, query)
    return "" if found is None else found.decode("utf-8", "replace")


def first_of(facts: Facts, query: str) -> str:
    """Return the first line of a header query's text."""
    return text_of(facts, query).partition("\n")[0]


def senders(facts: Facts) -> list[str]:
    """Return every address that the message says it is from, in lower case."""
    resent = text_of(facts, "Resent-From:addr")
    queries = ("Resent-From:addr",) if resent else _SENDERS
    found = (line.lower() for query in queries for line in text_of(facts, query).split("\n"))
    return list(dict.fromkeys(address for address in found if address))


def _missing_to(call: Call) -> bool:
    return not text_of(call.facts, "To") and not text_of(call.facts, "Apparently-To")


def _illegal_characters(call: Call) -> bool:
    name = call.arguments[0]
    data = header_text(call.facts, name if name.endswith(":raw") else f"{name}:raw")
    if data is None or not data.strip():
        return False
    if not data.isascii() and not _CONTROLS.search(data) and _is_utf8(data):
        return False
    illegal = len(_ILLEGAL.findall(data))
    if illegal and name.lower() == "subject" and sum(data.count(char) for char in (b"\xa2", b"\xa3", b"\xae")) == 1:
        illegal -= 1
    return illegal / len(data) >= call.number(1) and illegal >= call.number(2)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _all_capitals(call: Call) -> bool:
    subject = _REPLY.sub("", text_of(call.facts, "Subject").strip())
    raw = text_of(call.facts, "Subject:raw").lower()
    encoded = re.search(r"=\?([^?]*)\?", raw)
    letters = re.sub(r"[^A-Za-z]", "", subject)
    if not re.search(r"\s", subject) or len(subject.encode()) < 10 or (encoded and CAPITALS.fullmatch(encoded[1])):
        return False
    return bool(letters) and letters == letters.upper()


def _to_in_subject(call: Call) -> bool:
    recipient, subject = first_of(call.facts, "To:addr"), text_of(call.facts, "Subject")
    if not recipient:
        return False
    if call.arguments[0] == "address":
        return re.search(rf"\b{re.escape(recipient)}\b", subject, re.IGNORECASE) is not None
    user = re.escape(recipient.partition("@")[0])
    forms = rf"(?:(?:re|fw):\s*(?:\w+\s+)?{user}$|(?-i:{user})\s*[,:;!?-](?:$|\s)|{user}$|,\s*{user}[,:;!?-]$)"
    return re.match(forms, subject, re.IGNORECASE) is not None


def _template(call: Call) -> bool:
    lines = text_of(call.facts, "ALL").split("\n")
    return any(_TEMPLATE.search(line) and not _FREE_TEXT.match(line) for line in lines)


def _field_count(call: Call) -> bool:
    values = {field.value for field in shown(call.facts.message) if field.name.lower() == call.arguments[0].lower()}
    return call.number(1) <= len(values) <= call.number(2)


def _sender_matches(call: Call) -> bool:
    return first_of(call.facts, "EnvelopeFrom:addr").lower() == first_of(call.facts, "From:addr").lower()


def _domains_differ(call: Call) -> bool:
    pair = [first_of(call.facts, query).lower().rpartition("@") for query in ("From:addr", "EnvelopeFrom:addr")]
    domains = [".".join(domain.split(".")[-2:]) for _, at, domain in pair if at and domain]
    return len(domains) == 2 and domains[0] != domains[1]


@once
def _dates(facts: Facts) -> float:
    """Return by how many seconds the Date differs from the nearest Received field's time."""
    date = next((t for name in ("Resent-Date", "Date") if (t := _time(text_of(facts, name).strip())) is not None), None)
    lines = [line for line in text_of(facts, "Received").split("\n") if line.strip()]
    times = [t for line in _hops(lines) if (m := _DATE.search(line)) and (t := _time(m[1].strip())) is not None]
    if date is None or not times:
        return 0.0
    differences = [date - time for time in times]
    if len(differences) > 1 and differences[-1] == 0:
        differences.pop()
    return min(differences, key=abs)


def _hops(lines: list[str]) -> list[str]:
    """Return the Received fields without those of a local delivery that fetched the message."""
    local = lines and (
        re.search(r"\bfrom (?:localhost\s|(?:\S+ ){1,2}\S*\b127\.0\.0\.1\b)", lines[0])
        or re.search(r"qmail \d+ invoked by uid \d+", lines[0])
    )
    rest = lines[1:] if local else lines
    if rest and re.search(r"\bby localhost with \w+ \(fetchmail-[\d.]+", rest[0]):
        return rest[1:]
    return lines


def _time(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text[:100])
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _shifted_date(call: Call) -> bool:
    hours = _dates(call.facts) / 3600
    return call.number(0, -float("inf")) <= hours < call.number(1, float("inf"))


@once
def _recipients(facts: Facts) -> list[str]:
    found: list[str] = []
    for query in ("ToCc:addr", "Bcc:addr"):
        for address in text_of(facts, query).split("\n"):
            if address and (not found or found[-1].lower() != address.lower()) and len(found) < MAX_RECIPIENTS:
                found.append(address)
        if len(found) >= 5:
            break
    return found


def _sorted_recipients(call: Call) -> bool:
    addresses = _recipients(call.facts)
    return len(addresses) >= 7 and addresses == sorted(addresses)


@once
def _similarity(facts: Facts) -> float:
    addresses = _recipients(facts)
    if len(addresses) < 5:
        return 0.0
    pairs = [(address[:2], address.partition("@")[2]) for address in addresses]
    hits = total = 0
    for (user, host), (other, second) in combinations(pairs, 2):
        hits += (user == other) + (host[:2] == second[:2] and host != second)
        total += 1
    return hits / total


def _similar_recipients(call: Call) -> bool:
    return call.number(0, -float("inf")) <= _similarity(call.facts) < call.number(1, float("inf"))


def _outlook_message_id(call: Call) -> bool:
    """Tell whether an Outlook Message-ID tells another time than Date and Received do."""
    found = re.match(r"<[0-9a-f]{4}([0-9a-f]{8})\$[0-9a-f]{8}\$[0-9a-f]{8}@", text_of(call.facts, "MESSAGEID"))
    if not found:
        return False
    received = _DATE.search(text_of(call.facts, "Received"))
    times = (_time(text_of(call.facts, "Date").strip()), _time(received[1].strip()) if received else None)
    told = int(found[1], 16)
    return all(abs(told - int((time or 0) * 0.0023283064365387 + 27111902.8329849)) >= 250 for time in times)


def _name_in_message_id(call: Call) -> bool:
    found = re.search(r"<[A-Z]{28}\.([^>]+?)>", text_of(call.facts, "MESSAGEID"))
    sender = text_of(call.facts, "From")
    return bool(found and re.search(rf'"[^"]+"\s*<{re.escape(found[1])}>', sender))


def _recipient_in_sender(call: Call) -> bool:
    user, at, domain = first_of(call.facts, "To:addr").partition("@")
    sender = first_of(call.facts, "EnvelopeFrom:addr")
    site = registrable_domain(domain.lower())
    if not sender or not at or not site or re.match(r"SRS\d[=+-]", sender, re.IGNORECASE):
        return False
    return re.search(rf"\b{re.escape(site)}.{re.escape(user)}@", sender, re.IGNORECASE) is not None


def received_removed(call: Call) -> bool:
    """Tell whether the message came through something that removes Received fields."""
    received = text_of(call.facts, "Received")
    if re.search(r"(?m)^contact \S+@\S+; run by ezmlm$", text_of(call.facts, "Mailing-List")):
        delivered = re.search(r"(?m)^mailing list \S+@\S+", text_of(call.facts, "Delivered-To"))
        if delivered and re.search(r"qmail \d+ invoked (?:from network|by .{3,20})\); \d+ ... \d+", received):
            return True
    return not received or "from groups.msn.com (" in received


def _sender_is(call: Call, domain: str) -> bool:
    return re.search(rf"\b{re.escape(domain)}\Z", first_of(call.facts, "From:addr"), re.IGNORECASE) is not None


def _forged_gmail(call: Call) -> bool:
    if not _sender_is(call, "gmail.com"):
        return False
    other = text_of(call.facts, "X-Received")
    if re.search(r"by 10\.\S+ with SMTP id \S+|by 2002:a\d\d:\w+:\S+ with SMTP id \S+", other):
        return False
    if re.search(r"by smtp\.googlemail\.com with ESMTPSA id \S+", text_of(call.facts, "Received")):
        return False
    fields = ("X-Gm-Message-State", "X-Google-Smtp-Source")
    return not all(len(text_of(call.facts, name)) >= 60 for name in fields)


def _forged_yahoo(call: Call) -> bool:
    if not _sender_is(call, "yahoo.com") or received_removed(call):
        return False
    received = " ".join(text_of(call.facts, "Received").split())
    relays = relays_of(call.facts)
    names = [relay.rdns for relay in (*relays.of("trusted"), *relays.of("untrusted")[:1])]
    if any(name.endswith(".yahoo.com") for name in names):
        return False
    genuine = (
        r"by web\S+\.mail\S*\.yahoo\.com via HTTP|by sonic\S+\.consmr\.mail\S*\.yahoo\.com with HTTP"
        r"|by smtp\S+\.yahoo\.com with SMTP|by \S+\.(?:groups|scd|dcn)\.yahoo\.com with NNFMP"
        r"|by \w+\.\w+\.yahoo\.com \([\d./]+\)(?: with ESMTP)? id \w+"
    )
    return re.search(genuine, received) is None


def _forged_eudoramail(call: Call) -> bool:
    if not _sender_is(call, "eudoramail.com") or received_removed(call):
        return False
    address = _IP.search(text_of(call.facts, "X-Sender-Ip"))
    return not (address and re.search(r"by \S*whowhere.com;", text_of(call.facts, "Received")))


def _forged_juno(call: Call) -> bool:
    if not _sender_is(call, "juno.com") or received_removed(call):
        return False
    origin, mailer = text_of(call.facts, "X-Originating-IP"), text_of(call.facts, "X-Mailer")
    received = text_of(call.facts, "Received")
    if not origin:
        return True
    known = re.search(
        r"from.*\b(?:juno|untd)\.com.*[\[(](?:\d+\.){3}\d+[\])].*by| cookie\.(?:juno|untd)\.com ", received
    )
    return not known or "Juno " not in mailer


def _aol_relay(call: Call) -> bool:
    received = " ".join(text_of(call.facts, "Received").split())
    if not re.search(r" rly-[a-z][a-z]\d\d\.", received, re.IGNORECASE):
        return False
    return not re.search(r"/AOL-\d+\.\d+\.\d+\)|ESMTP id (?:RELAY|MAILRELAY|MAILIN)", received)


@once
def _hotmail(facts: Facts) -> str:
    """Return `forged` when a relay only says that it is Hotmail, `none` when only the sender is, else empty."""
    call = Call(facts, ())
    received = " ".join(text_of(facts, "Received").split())
    if "from mail pickup service by hotmail.com with Microsoft SMTPSVC;" in received or received_removed(call):
        return ""
    address = _IP.search(text_of(facts, "X-Originating-Ip"))
    origin = re.search(r"hotmail\.com|msonline-outlook", text_of(facts, "X-OriginatorOrg"))
    by_address = (
        r"from (?:\S*\.)?hotmail.com \(\S+\.hotmail(?:\.msn)?\.com[ )]|from \S*\.hotmail.com \(\[[\d.]+\][ ):]"
        r"|from \S+ by \S+\.hotmail(?:\.msn)?\.com with HTTP;"
    )
    by_origin = (
        r"from \S*\.outbound\.protection\.outlook\.com \(\S+\.outbound\.protection\.outlook\.com[ )]"
        r"|from \S*\.(?:eur|nam)prd\d+\.prod\.outlook\.com \([\w.:]+\)"
    )
    if (address and re.search(by_address, received)) or (origin and re.search(by_origin, received)):
        return ""
    if re.search(r"(?:from |HELO |helo=)\S*hotmail\.com\b", received):
        return "forged"
    return "none" if _sender_is(call, "hotmail.com") else ""


def _from_in_list(call: Call) -> bool:
    return any(listed_address(call, address) for address in senders(call.facts))


def _reply_to_in_list(call: Call) -> bool:
    return listed_address(call, first_of(call.facts, "Reply-To:addr").lower())


def listed_address(call: Call, address: str) -> bool:
    """Tell whether an address or its domain is in the list."""
    return bool(address) and (call.listed(address) or call.listed(address.rpartition("@")[2]))


def valid_domain(domain: str) -> bool:
    """Tell whether a domain ends in a public suffix."""
    return is_public_suffix(domain.rpartition(".")[2].lower())


FUNCTIONS = {
    "check_for_missing_to_header": Function(_missing_to),
    "check_illegal_chars": Function(_illegal_characters, 3, 3, (1, 2)),
    "subject_is_all_caps": Function(_all_capitals),
    "check_for_to_in_subject": Function(_to_in_subject, 1, 1),
    "check_unresolved_template": Function(_template),
    "check_header_count_range": Function(_field_count, 3, 3, (1, 2)),
    "check_for_matching_env_and_hdr_from": Function(_sender_matches),
    "check_equal_from_domains": Function(_domains_differ),
    "check_for_shifted_date": Function(_shifted_date, 2, 2, (0, 1)),
    "sorted_recipients": Function(_sorted_recipients),
    "similar_recipients": Function(_similar_recipients, 2, 2, (0, 1)),
    "check_outlook_message_id": Function(_outlook_message_id),
    "check_ratware_name_id": Function(_name_in_message_id),
    "check_ratware_envelope_from": Function(_recipient_in_sender),
    "gated_through_received_hdr_remover": Function(received_removed),
    "check_for_forged_gmail_received_headers": Function(_forged_gmail),
    "check_for_forged_yahoo_received_headers": Function(_forged_yahoo),
    "check_for_forged_eudoramail_received_headers": Function(_forged_eudoramail),
    "check_for_forged_juno_received_headers": Function(_forged_juno),
    "check_for_forged_hotmail_received_headers": Function(lambda call: _hotmail(call.facts) == "forged"),
    "check_for_no_hotmail_received_headers": Function(lambda call: _hotmail(call.facts) == "none"),
    "check_for_fake_aol_relay_in_rcvd": Function(_aol_relay),
    "check_from_in_list": Function(_from_in_list, 1, 1, needs_list=True),
    "check_replyto_in_list": Function(_reply_to_in_list, 1, 1, needs_list=True),
}
