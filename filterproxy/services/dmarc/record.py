"""A DMARC Policy Record (RFC 9989 section 4.7): what its owner asks for.

The one rule: the version must be right to the letter; anything else that is wrong falls back to its default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

MAX_RECORD = 8192
_VERSION = re.compile(rb"[ \t]{0,80}v[ \t]{0,80}=[ \t]{0,80}DMARC1[ \t]{0,80}(?:;|\Z)")
_URI = re.compile(r"[a-z][a-z0-9+.-]{0,30}:[^\s,!;]+", re.IGNORECASE)


class Policy(IntEnum):
    """The owner's assessment policy, mildest first."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2


_POLICIES = {"none": Policy.NONE, "quarantine": Policy.QUARANTINE, "reject": Policy.REJECT}


@dataclass(frozen=True, slots=True)
class Record:
    """`policy`, `subdomains` (sp) and `nonexistent` (np) as published, None when absent; `usable` is false for a
    record that asks for nothing valid. `public_suffix` is psd: `y`, `n` or `u`. `testing` is t=y."""

    policy: Policy
    subdomains: Policy | None = None
    nonexistent: Policy | None = None
    strict_spf: bool = False
    strict_dkim: bool = False
    public_suffix: str = "u"
    testing: bool = False
    usable: bool = True

    def asked(self, *, subdomain: bool, exists: bool) -> Policy:
        """Return the policy for the Author Domain: p, or sp and np for a domain below the record's (section 4.10.1)."""
        wanted = self.policy
        if subdomain and self.subdomains is not None:
            wanted = self.subdomains
        if subdomain and not exists and self.nonexistent is not None:
            wanted = self.nonexistent
        return Policy(max(wanted - 1, 0)) if self.testing else wanted


def parse_record(text: bytes) -> Record | None:
    """Return the record, None when the TXT record is none of DMARC's current version."""
    if not _VERSION.match(text) or len(text) > MAX_RECORD:
        return None
    tags: dict[str, str] = {}
    for piece in text.decode("ascii", "replace").split(";")[1:]:
        name, equals, value = piece.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t").lower(), value.strip(" \t"))
    return _from_tags(tags)


def _from_tags(tags: dict[str, str]) -> Record:
    requests = {name: _POLICIES.get(tags[name].lower()) for name in ("p", "sp", "np") if name in tags}
    valid = all(value is not None for value in requests.values())
    reports = any(_URI.match(uri.strip()) for uri in tags.get("rua", "").split(","))
    psd = tags.get("psd", "u").lower()
    return Record(
        # An invalid request counts as p=none when its owner wants reports, and not at all otherwise (section 4.10.1);
        # p left out is p=none (section 4.7).
        policy=(requests.get("p") if valid else None) or Policy.NONE,
        subdomains=requests.get("sp") if valid else None,
        nonexistent=requests.get("np") if valid else None,
        strict_spf=tags.get("aspf", "").lower() == "s",
        strict_dkim=tags.get("adkim", "").lower() == "s",
        public_suffix=psd if psd in ("y", "n") else "u",
        testing=tags.get("t", "").lower() == "y",
        usable=valid or reports,
    )
