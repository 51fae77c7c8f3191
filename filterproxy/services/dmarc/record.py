"""A DMARC Policy Record (RFC 9989 section 4.7): what its owner asks for.

The one rule: the version must be right to the letter, and a tag list that says a thing twice is none (RFC 6376
section 3.2); anything else that is wrong falls back to its default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

MAX_RECORD = 8192
_VERSION = re.compile(rb"[ \t]{0,80}[vV][ \t]{0,80}=[ \t]{0,80}DMARC1[ \t]{0,80}(?:;|\Z)")
# RFC 3986's characters; the size after `!` is RFC 7489's and says nothing any more.
_URI = re.compile(r"[a-z][a-z0-9+.-]{0,30}:[a-z0-9._~:/?#\[\]@$&'()*+=%-]*(?:![0-9]+[kmgt]?)?\Z", re.IGNORECASE)


class Policy(IntEnum):
    """The owner's assessment policy, mildest first."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2


_POLICIES = {"none": Policy.NONE, "quarantine": Policy.QUARANTINE, "reject": Policy.REJECT}


@dataclass(frozen=True, slots=True)
class Record:
    """`policy`, `subdomains` (sp) and `nonexistent` (np) as published, None when absent. `public_suffix` is psd: `y`,
    `n` or `u`. `testing` is t=y. `defect` says why the record gets no DMARC processing, empty when it does; `broken`
    tells that this is a mistake in it."""

    policy: Policy
    subdomains: Policy | None = None
    nonexistent: Policy | None = None
    strict_spf: bool = False
    strict_dkim: bool = False
    public_suffix: str = "u"
    testing: bool = False
    defect: str = ""
    broken: bool = False

    def asked(self, *, subdomain: bool, exists: bool) -> Policy:
        """Return the policy for the Author Domain: p, or sp and np for a domain below the record's (section 4.10.1)."""
        wanted = self.policy
        if subdomain and self.subdomains is not None:
            wanted = self.subdomains
        if subdomain and not exists and self.nonexistent is not None:
            wanted = self.nonexistent
        return Policy(max(wanted - 1, 0)) if self.testing else wanted


def is_current(text: bytes) -> bool:
    """Tell whether the TXT record is one of DMARC's current version, valid or not."""
    return bool(_VERSION.match(text))


def parse_record(text: bytes) -> Record | None:
    """Return the record, None when the TXT record is none of DMARC's current version or no tag list."""
    if not is_current(text) or len(text) > MAX_RECORD:
        return None
    tags: dict[str, str] = {}
    for piece in text.decode("ascii", "replace").split(";")[1:]:
        name, equals, value = piece.partition("=")
        name = name.strip(" \t")
        if equals and name in tags:
            return None
        if equals:
            tags[name] = value.strip(" \t")
    return _from_tags(tags)


def _from_tags(tags: dict[str, str]) -> Record:
    requests = {name: _POLICIES.get(tags[name].lower()) for name in ("p", "sp", "np") if name in tags}
    broken = [name for name, policy in requests.items() if policy is None]
    complete = not broken and "p" in requests
    defect = "" if complete or _wants_reports(tags) else "asks for nothing valid" if broken else "has no p="
    psd = tags.get("psd", "u").lower()
    return Record(
        # Without a valid p, or with an invalid sp or np, a record counts as p=none when its owner wants reports, and
        # not at all otherwise (section 4.10.1).
        policy=(requests.get("p") if complete else None) or Policy.NONE,
        subdomains=requests.get("sp") if complete else None,
        nonexistent=requests.get("np") if complete else None,
        strict_spf=tags.get("aspf", "").lower() == "s",
        strict_dkim=tags.get("adkim", "").lower() == "s",
        public_suffix=psd if psd in ("y", "n") else "u",
        testing=tags.get("t", "").lower() == "y",
        defect=defect,
        broken=bool(defect and broken),
    )


def _wants_reports(tags: dict[str, str]) -> bool:
    """Tell whether rua= holds a URI; a bare address is none."""
    return any(_URI.match(uri.strip(" \t")) for uri in tags.get("rua", "").split(","))
