"""Our symbols under the names that rspamd and SpamAssassin give to the same evidence (`compat` of a listener).

The rule: only names change, and only in what one listener's clients read; rules, log and history know ours alone. A
name is in the table when the meaning is the same; everything else keeps its own. Scores still sum up to the verdict's.

The names are facts of rspamd 3.4 and SpamAssassin 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from filterproxy.core.authentication import MethodResult
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol, Symbol

Compat = Literal["rspamd", "spamassassin"]
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Theirs:
    """What one of our symbols is called elsewhere; nothing where they have no such evidence, several where it is.

    `sometimes` are names that depend on the message, see `_chosen`.
    """

    rspamd: Names = ()
    spamassassin: Names = ()
    sometimes: Names = ()


# SpamAssassin's classifier says how sure it is by a name: from this probability on (the last one comes on top).
BAYES_BANDS: tuple[tuple[float, str], ...] = (
    *((0.0, "BAYES_00"), (0.01, "BAYES_05"), (0.05, "BAYES_20"), (0.2, "BAYES_40"), (0.4, "BAYES_50")),
    *((0.6, "BAYES_60"), (0.8, "BAYES_80"), (0.95, "BAYES_95"), (0.99, "BAYES_99")),
)
_BAYES_CERTAIN = (0.999, "BAYES_999")
_BAYES = (*(name for _, name in BAYES_BANDS), _BAYES_CERTAIN[1])
_DKIM_BROKEN = Theirs(("R_DKIM_REJECT",), ("DKIM_SIGNED",), ("DKIM_INVALID",))


def _same(*names: str) -> Theirs:
    return Theirs(names, names)


TABLE: Mapping[str, Theirs] = {
    # SPF
    "SPF_PASS": Theirs(("R_SPF_ALLOW",), ("SPF_PASS",)),
    "SPF_FAIL": Theirs(("R_SPF_FAIL",), ("SPF_FAIL",)),
    "SPF_SOFTFAIL": Theirs(("R_SPF_SOFTFAIL",), ("SPF_SOFTFAIL",)),
    "SPF_NEUTRAL": Theirs(("R_SPF_NEUTRAL",), ("SPF_NEUTRAL",)),
    "SPF_NONE": Theirs(("R_SPF_NA",), ("SPF_NONE",)),
    "SPF_TEMPERROR": Theirs(("R_SPF_DNSFAIL",), ("T_SPF_TEMPERROR",)),
    "SPF_PERMERROR": Theirs(("R_SPF_PERMFAIL",), ("T_SPF_PERMERROR",)),
    "SPF_HELO_PASS": Theirs((), ("SPF_HELO_PASS",)),
    "SPF_HELO_FAIL": Theirs((), ("SPF_HELO_FAIL",)),
    "SPF_HELO_SOFTFAIL": Theirs((), ("SPF_HELO_SOFTFAIL",)),
    "SPF_HELO_NEUTRAL": Theirs((), ("SPF_HELO_NEUTRAL",)),
    "SPF_HELO_TEMPERROR": Theirs((), ("T_SPF_HELO_TEMPERROR",)),
    "SPF_HELO_PERMERROR": Theirs((), ("T_SPF_HELO_PERMERROR",)),
    # DKIM: SpamAssassin speaks of all signatures together
    "DKIM_PASS": Theirs(("R_DKIM_ALLOW",), ("DKIM_VALID", "DKIM_SIGNED"), ("DKIM_VALID_AU", "DKIM_VALID_EF")),
    "DKIM_FAIL": _DKIM_BROKEN,
    "DKIM_TEMPERROR": replace(_DKIM_BROKEN, rspamd=("R_DKIM_TEMPFAIL",)),
    "DKIM_PERMERROR": replace(_DKIM_BROKEN, rspamd=("R_DKIM_PERMFAIL",)),
    "DKIM_POLICY": replace(_DKIM_BROKEN, rspamd=()),
    "DKIM_NEUTRAL": replace(_DKIM_BROKEN, rspamd=()),
    "DKIM_NONE": Theirs(("R_DKIM_NA",)),
    # DMARC
    "DMARC_PASS": Theirs(("DMARC_POLICY_ALLOW",), ("DMARC_PASS",)),
    "DMARC_POLICY_NONE": Theirs(("DMARC_POLICY_SOFTFAIL",), ("DMARC_NONE",)),
    "DMARC_POLICY_QUARANTINE": Theirs(("DMARC_POLICY_QUARANTINE",), ("DMARC_QUAR",)),
    "DMARC_POLICY_REJECT": Theirs(("DMARC_POLICY_REJECT",), ("DMARC_REJECT",)),
    "DMARC_NA": Theirs(("DMARC_NA",), ("DMARC_MISSING",)),
    "DMARC_TEMPERROR": Theirs(("DMARC_DNSFAIL",)),
    "DMARC_PERMERROR": Theirs(("DMARC_BAD_POLICY",)),
    # ARC
    "ARC_PASS": Theirs(("ARC_ALLOW",), ("ARC_VALID", "ARC_SIGNED")),
    "ARC_FAIL": Theirs(("ARC_REJECT",), ("ARC_INVALID", "ARC_SIGNED")),
    "ARC_NONE": Theirs(("ARC_NA",)),
    "ARC_TEMPERROR": Theirs(("ARC_DNSFAIL",)),
    # The classifier
    "BAYES_SPAM": Theirs(("BAYES_SPAM",), (), _BAYES),
    "BAYES_HAM": Theirs(("BAYES_HAM",), (), _BAYES),
    "BAYES_UNSURE": Theirs((), (), _BAYES),
    # Who connects
    "IPREV_NONE": Theirs(("RDNS_NONE", "HFILTER_HOSTNAME_UNKNOWN"), ("RDNS_NONE",)),
    "IPREV_FAIL": Theirs(("HFILTER_HOSTNAME_UNKNOWN",)),
    "IPREV_TEMPERROR": Theirs(("RDNS_DNSFAIL",)),
    "HELO_BARE_IP": Theirs(("HFILTER_HELO_BAREIP",)),
    "HELO_NOT_FQDN": Theirs(("HFILTER_HELO_NOT_FQDN",), ("HELO_NO_DOMAIN",)),
    # Lists of the client
    "SPAMHAUS_SBL": Theirs(("RBL_SPAMHAUS_SBL",), ("RCVD_IN_SBL",)),
    "SPAMHAUS_CSS": Theirs(("RBL_SPAMHAUS_CSS",), ("RCVD_IN_SBL_CSS",)),
    "SPAMHAUS_XBL": Theirs(("RBL_SPAMHAUS_XBL",), ("RCVD_IN_XBL",)),
    "SPAMHAUS_PBL": Theirs(("RBL_SPAMHAUS_PBL",), ("RCVD_IN_PBL",)),
    "SPAMHAUS_DROP": Theirs(("RBL_SPAMHAUS_DROP",)),
    "SPAMHAUS_SBL_RECEIVED": Theirs(("RECEIVED_SPAMHAUS_SBL",)),
    "SPAMHAUS_XBL_RECEIVED": Theirs(("RECEIVED_SPAMHAUS_XBL",)),
    "SPAMHAUS_DROP_RECEIVED": Theirs(("RECEIVED_SPAMHAUS_DROP",)),
    "SPAMCOP": Theirs((), ("RCVD_IN_BL_SPAMCOP_NET",)),
    "PSBL": Theirs((), ("RCVD_IN_PSBL",)),
    "SEM_BLACK": Theirs(("RBL_SEM",)),
    "MAILSPIKE_OUTBREAK": Theirs((), ("RCVD_IN_MSPIKE_ZBI",)),
    "MAILSPIKE_WORST": Theirs(("RBL_MAILSPIKE_WORST",), ("RCVD_IN_MSPIKE_L5",)),
    "MAILSPIKE_VERY_BAD": Theirs(("RBL_MAILSPIKE_VERYBAD",), ("RCVD_IN_MSPIKE_L4",)),
    "MAILSPIKE_BAD": Theirs(("RBL_MAILSPIKE_BAD",), ("RCVD_IN_MSPIKE_L3",)),
    "MAILSPIKE_GOOD": Theirs(("RWL_MAILSPIKE_GOOD",), ("RCVD_IN_MSPIKE_H3",)),
    "MAILSPIKE_VERY_GOOD": Theirs(("RWL_MAILSPIKE_VERYGOOD",), ("RCVD_IN_MSPIKE_H4",)),
    "MAILSPIKE_EXCELLENT": Theirs(("RWL_MAILSPIKE_EXCELLENT",), ("RCVD_IN_MSPIKE_H5",)),
    "DNSWL_NONE": _same("RCVD_IN_DNSWL_NONE"),
    "DNSWL_LOW": _same("RCVD_IN_DNSWL_LOW"),
    "DNSWL_MEDIUM": _same("RCVD_IN_DNSWL_MED"),
    "DNSWL_HIGH": _same("RCVD_IN_DNSWL_HI"),
    # Lists of domains, links and addresses; rspamd looks the sender's domain up under the names for links
    "SPAMHAUS_DBL_SENDER": Theirs(("DBL_SPAM",)),
    "SPAMHAUS_DBL_SENDER_PHISHING": Theirs(("DBL_PHISH",)),
    "SPAMHAUS_DBL_SENDER_MALWARE": Theirs(("DBL_MALWARE",)),
    "SPAMHAUS_DBL_SENDER_BOTNET": Theirs(("DBL_BOTNET",)),
    "SPAMHAUS_DBL_URL": Theirs(("DBL_SPAM",), ("URIBL_DBL_SPAM",)),
    "SPAMHAUS_DBL_URL_PHISHING": Theirs(("DBL_PHISH",), ("URIBL_DBL_PHISH",)),
    "SPAMHAUS_DBL_URL_MALWARE": Theirs(("DBL_MALWARE",), ("URIBL_DBL_MALWARE",)),
    "SPAMHAUS_DBL_URL_BOTNET": Theirs(("DBL_BOTNET",), ("URIBL_DBL_BOTNETCC",)),
    "SURBL_PHISHING": Theirs(("PH_SURBL_MULTI",), ("URIBL_PH_SURBL",)),
    "SURBL_MALWARE": Theirs(("MW_SURBL_MULTI",), ("URIBL_MW_SURBL",)),
    "SURBL_ABUSE": Theirs(("ABUSE_SURBL",), ("URIBL_ABUSE_SURBL",)),
    "SURBL_CRACKED": Theirs(("CRACKED_SURBL",), ("URIBL_CR_SURBL",)),
    "URIBL_BLACK": _same("URIBL_BLACK"),
    "URIBL_GREY": _same("URIBL_GREY"),
    "URIBL_RED": _same("URIBL_RED"),
    "SEM_URL": Theirs(("SEM_URIBL",)),
    "SEM_FRESH": Theirs(("SEM_URIBL_FRESH15",)),
    "MSBL_EBL": Theirs(("MSBL_EBL",)),
    # The message
    "GTUBE": _same("GTUBE"),
    "HEADER_NO_DATE": _same("MISSING_DATE"),
    "HEADER_BAD_DATE": _same("INVALID_DATE"),
    "HEADER_DATE_AHEAD": Theirs(("DATE_IN_FUTURE",)),
    "HEADER_NO_MESSAGE_ID": _same("MISSING_MID"),
    "HEADER_BAD_MESSAGE_ID": _same("INVALID_MSGID"),
    "HEADER_NO_FROM": _same("MISSING_FROM"),
    "HEADER_NO_RECIPIENT": Theirs(("MISSING_TO",), ("MISSING_HEADERS",)),
    "HEADER_REPEATED": Theirs(("MULTIPLE_UNIQUE_HEADERS",)),
    "HEADER_SEVERAL_FROM": Theirs(("MULTIPLE_UNIQUE_HEADERS",)),
    "REPLY_TO_OTHER_FREEMAIL": Theirs(("FREEMAIL_REPLYTO_NEQ_FROM_DOM",)),
    "SUBJECT_CAPITALS": _same("SUBJ_ALL_CAPS"),
    "SUBJECT_FALSE_REPLY": Theirs(("FAKE_REPLY",)),
    "ATTACH_DOUBLE_EXTENSION": Theirs(("MIME_DOUBLE_BAD_EXTENSION",)),
    "HTML_META_REFRESH": Theirs(("HTML_META_REFRESH_URL",)),
    "URL_IP_ADDRESS": Theirs((), ("NUMERIC_HTTP_ADDR",)),
    "URL_ODD_PORT": Theirs((), ("WEIRD_PORT",)),
    # The administrator's lists; SpamAssassin 4 fires the old name beside the new one
    "ALLOW_LIST": Theirs((), ("USER_IN_WELCOMELIST", "USER_IN_WHITELIST")),
    "DENY_LIST": Theirs((), ("USER_IN_BLOCKLIST", "USER_IN_BLACKLIST")),
}
_NOTHING = Theirs()
_PROBABILITY = re.compile(r"p=([01]\.\d{1,6})")


def possible_names(name: str, compat: Compat | None, *, always: bool = False) -> Names:
    """Return every name that one of our symbols may have there (or always has), its own when there is none."""
    if compat is None:
        return (name,)
    theirs = TABLE.get(name, _NOTHING)
    if compat == "rspamd":
        return theirs.rspamd or (name,)
    if always:
        return theirs.spamassassin or (() if theirs.sometimes else (name,))
    return (*theirs.spamassassin, *theirs.sometimes) or (name,)


def declared(symbols: Mapping[str, Symbol], compat: Compat | None) -> dict[str, tuple[Symbol, Names]]:
    """Return the declared symbols by their names there, each with the names of ours that may appear so."""
    found: dict[str, tuple[Symbol, Names]] = {}
    for name, symbol in symbols.items():
        for other in possible_names(name, compat):
            known = found.get(other)
            found[other] = (known[0], (*known[1], name)) if known else (replace(symbol, name=other), (name,))
    return found


def translate(result: ScanResult, compat: Compat | None) -> ScanResult:
    """Return the result with the symbols' names there.

    The first of several names has the score, the others 0. Symbols that have the same name there become one, with the
    sum of their scores.
    """
    if compat is None:
        return result
    names = {symbol.name: _chosen(symbol, result, compat) for symbol in result.symbols}
    found: dict[str, ScoredSymbol] = {}
    for symbol in result.symbols:
        for place, name in enumerate(names[symbol.name]):
            renamed = replace(symbol, name=name, score=0.0 if place else symbol.score)
            found[name] = _merge(found[name], renamed) if name in found else renamed
    forced_by = names.get(result.forced_by, (result.forced_by,))[0]
    return replace(result, symbols=tuple(found.values()), forced_by=forced_by)


def _chosen(symbol: ScoredSymbol, result: ScanResult, compat: Compat) -> Names:
    """Return the names of a symbol of this message."""
    theirs = TABLE.get(symbol.name, _NOTHING)
    if compat == "rspamd":
        return theirs.rspamd or (symbol.name,)
    if theirs.sometimes is _BAYES:
        return _bayes(symbol) or (symbol.name,)
    if symbol.name == "DKIM_PASS":
        return (*theirs.spamassassin, *_whose_signature(result.authentication))
    if theirs.sometimes and not any(item.name == "DKIM_PASS" for item in result.symbols):
        return (*theirs.sometimes, *theirs.spamassassin)
    return theirs.spamassassin or (symbol.name,)


def _bayes(symbol: ScoredSymbol) -> Names:
    """Return the names for the probability that the classifier gives as an option."""
    found = next((match for option in symbol.options if (match := _PROBABILITY.fullmatch(option))), None)
    if found is None:
        return ()
    probability = float(found[1])
    band = max((begin, name) for begin, name in BAYES_BANDS if begin <= probability)[1]
    return (band, _BAYES_CERTAIN[1]) if probability >= _BAYES_CERTAIN[0] else (band,)


def _whose_signature(results: Iterable[MethodResult]) -> Names:
    """Tell whether a valid signature is the author's domain's (AU) or the envelope sender's (EF)."""
    signers: set[str] = set()
    author = sender = ""
    for result in results:
        if result.method == "dkim" and result.result == "pass":
            signers.add(result.property("header.d").lower())
        author = author or (result.property("header.from").lower() if result.method == "dmarc" else "")
        sender = sender or (_domain(result.property("smtp.mailfrom")) if result.method == "spf" else "")
    told = (("DKIM_VALID_AU", author), ("DKIM_VALID_EF", sender))
    return tuple(name for name, domain in told if domain and domain in signers)


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _merge(first: ScoredSymbol, second: ScoredSymbol) -> ScoredSymbol:
    options = tuple(dict.fromkeys((*first.options, *second.options)))
    return replace(first, score=first.score + second.score, options=options)
