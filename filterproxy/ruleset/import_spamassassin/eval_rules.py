"""Eval rules: which functions are answered by our matchers and checks, which need the network, which nobody answers.

The rule: a function is in the table only when what stands for it answers the same question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from filterproxy.ruleset.spamassassin.functions import FUNCTIONS

Match = dict[str, Any]

# Functions whose answer is an RFC 8601 result of our checks.
_AUTHENTICATION: dict[str, Match] = {
    "check_for_spf_pass": {"spf": "pass"},
    "check_for_spf_fail": {"spf": "fail"},
    "check_for_spf_softfail": {"spf": "softfail"},
    "check_for_spf_neutral": {"spf": "neutral"},
    "check_for_spf_none": {"spf": "none"},
    "check_for_spf_permerror": {"spf": "permerror"},
    "check_for_spf_temperror": {"spf": "temperror"},
    "check_dkim_valid": {"dkim": "pass"},
    "check_dmarc_pass": {"dmarc": "pass"},
    "check_dmarc_missing": {"dmarc": "none"},
    "check_dkim_signed": {"dkim": ["pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"]},
    "check_arc_signed": {"arc": ["pass", "fail", "neutral", "policy", "temperror", "permerror"]},
    "check_arc_valid": {"arc": "pass"},
}
# Functions that another check of ours answers, with symbols and a score of its own.
_COVERED = {
    "check_bayes": "the check bayes (BAYES_SPAM, BAYES_HAM)",
    "check_dmarc_reject": "the check dmarc (DMARC_POLICY_REJECT)",
    "check_dmarc_quarantine": "the check dmarc (DMARC_POLICY_QUARANTINE)",
    "check_dmarc_none": "the check dmarc",
    "check_for_spf_helo_pass": "the check spf",
    "check_for_spf_helo_fail": "the check spf",
    "check_for_spf_helo_softfail": "the check spf",
    "check_for_spf_helo_neutral": "the check spf",
    "check_for_spf_helo_none": "the check spf",
    "check_for_spf_helo_permerror": "the check spf",
    "check_for_spf_helo_temperror": "the check spf",
    "check_dkim_testing": "the check dkim",
    "check_from_in_welcomelist": "lists: (allow lists)",
    "check_from_in_whitelist": "lists: (allow lists)",
    "check_from_in_blocklist": "lists: (deny lists)",
    "check_from_in_blacklist": "lists: (deny lists)",
    "check_to_in_welcomelist": "lists: (allow lists)",
    "check_to_in_whitelist": "lists: (allow lists)",
    "check_to_in_blocklist": "lists: (deny lists)",
    "check_to_in_blacklist": "lists: (deny lists)",
    "check_from_in_default_welcomelist": "lists: (allow lists)",
    "check_from_in_default_whitelist": "lists: (allow lists)",
    "check_for_spf_welcomelist_from": "lists: with authenticated senders",
    "check_for_spf_whitelist_from": "lists: with authenticated senders",
    "check_for_def_spf_welcomelist_from": "lists: with authenticated senders",
    "check_for_def_spf_whitelist_from": "lists: with authenticated senders",
    "check_for_dkim_welcomelist_from": "lists: with authenticated senders",
    "check_for_dkim_whitelist_from": "lists: with authenticated senders",
    "check_for_def_dkim_welcomelist_from": "lists: with authenticated senders",
    "check_for_def_dkim_whitelist_from": "lists: with authenticated senders",
    "check_subject_in_welcomelist": "rules on subject:",
    "check_subject_in_whitelist": "rules on subject:",
    "check_subject_in_blocklist": "rules on subject:",
    "check_subject_in_blacklist": "rules on subject:",
    "check_uri_host_in_welcomelist": "lists: of url",
    "check_uri_host_in_whitelist": "lists: of url",
    "check_uri_host_in_blocklist": "lists: of url",
    "check_uri_host_in_blacklist": "lists: of url",
    "check_to_in_more_spam": "when: with recipients' domains",
    "check_to_in_all_spam": "when: with recipients' domains",
}
# Functions that read a list of the settings, and of which kind.
_LISTS = {
    "check_freemail_header": "freemail",
    "check_freemail_from": "freemail",
    "check_freemail_replyto": "freemail",
    "check_from_in_list": "addresses",
    "check_replyto_in_list": "addresses",
    "check_uri_host_listed": "hosts",
}
# Functions that cannot hit with the settings that are the default, and the setting.
_SILENT = {
    "check_for_faraway_charset": "ok_locales",
    "check_for_faraway_charset_in_headers": "ok_locales",
    "html_charset_faraway": "ok_locales",
    "have_any_bounce_relays": "welcomelist_bounce_relays",
    "check_welcomelist_bounce_relays": "welcomelist_bounce_relays",
}
# Functions that ask other hosts; DNS lists are configured under checks.dnslists.
_NETWORK = frozenset(
    {
        "check_rbl", "check_rbl_sub", "check_rbl_txt", "check_rbl_from_host", "check_rbl_from_domain",
        "check_rbl_envfrom",
        "check_rbl_headers", "check_uridnsbl", "check_dns_sender", "check_razor2", "check_razor2_range", "check_pyzor",
        "check_dcc", "check_dcc_reputation_range", "check_hashbl_emails", "check_hashbl_uris", "check_hashbl_bodyre",
        "check_hashbl_tag", "check_senders_reputation", "check_dkim_adsp", "check_dkim_signsome", "check_dkim_signall",
        "check_spamcop", "check_for_from_dns", "check_rbl_accreditation", "check_rbl_ns_from",
    }
)  # fmt: skip


def list_of(function: str, arguments: Sequence[str]) -> str:
    """Return the name of the list that a function reads, empty when it reads none."""
    kind = _LISTS.get(function, "")
    return f"{kind}:{arguments[0] if arguments and kind != 'freemail' else ''}" if kind else ""


def match_of(function: str, arguments: Sequence[str], list_file: str) -> Match | None:
    """Return the match that stands for an eval function, None when there is none.

    `list_file` is the file of the list that it reads. Raises ValueError for arguments that it does not take.
    """
    if function in _AUTHENTICATION:
        return {"authentication": _AUTHENTICATION[function]}
    if function in FUNCTIONS:
        FUNCTIONS[function].check(arguments)
        written: Match = {"function": function}
        if arguments:
            written["arguments"] = list(arguments)
        if FUNCTIONS[function].needs_list:
            written["list"] = list_file
        return {"spamassassin": written}
    return None


def covered_by(function: str) -> str:
    """Return what of ours answers the question with symbols of its own, empty when nothing does."""
    return _COVERED.get(function, "")


def asks_network(function: str) -> bool:
    """Tell whether the function asks other hosts."""
    return function in _NETWORK


def silent_without(function: str) -> str:
    """Return the setting without which the function never hits, empty when there is none."""
    return _SILENT.get(function, "")
