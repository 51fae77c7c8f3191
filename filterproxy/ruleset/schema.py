"""The YAML rule language as typed models: what a rules file may say. docs/writing-rules.md explains it.

The rule: keys are added to and never renamed or given another meaning; several keys in one `match` all hold.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from filterproxy.config.addresses import Networks
from filterproxy.core.action import Action
from filterproxy.core.symbol import SYMBOL_NAME
from filterproxy.ruleset.conditions import (
    CountedText,
    CountedWord,
    Model,
    PresentText,
    PresentWord,
    Shorthand,
    TextCondition,
    Texts,
    Word,
)
from filterproxy.ruleset.numbers import Bytes, Count, Duration
from filterproxy.ruleset.spamassassin.model import SpamAssassinMatch

_PART_NAME = re.compile(r"_[A-Za-z0-9_]{1,99}\Z")
_HEADER_NAME = re.compile(r"[!-9;-~]+\Z")
Identity = Literal[
    "from.address", "from.domain", "from.site", "from.name", "from.name_site",
    "sender.address", "sender.domain", "sender.site",
    "reply_to.address", "reply_to.domain", "reply_to.site", "to.address", "to.domain", "to.site",
    "mail_from.address", "mail_from.domain", "mail_from.site", "rcpt_to.address", "rcpt_to.domain", "rcpt_to.site",
    "message_id.domain", "message_id.site", "client.name", "client.site", "helo", "helo.site", "url.site",
]  # fmt: skip
ListTarget = Literal[
    "mail_from", "rcpt_to", "header_from", "sender", "reply_to", "client", "client_name", "url"
]  # fmt: skip


def _symbol_name(name: str) -> str:
    if not SYMBOL_NAME.match(name):
        raise ValueError(f"{name!r} is no symbol name: write UPPER_CASE letters, digits and _ (at most 64)")
    return name


def _rule_name(name: str) -> str:
    if not name.startswith("_"):
        return _symbol_name(name)
    if not _PART_NAME.match(name):
        raise ValueError(f"{name!r} is no name of a part: after the _ write letters, digits and _ (at most 100)")
    return name


def _header_name(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _HEADER_NAME.match(name):
            raise ValueError(f"{name!r} is no header field name; write it without the colon")
    return names


def _action(value: Any) -> Any:
    return Action.parse(value) if isinstance(value, str) else value


SymbolName = Annotated[str, AfterValidator(_symbol_name)]
RuleName = Annotated[str, AfterValidator(_rule_name)]
ForcedAction = Annotated[
    Action, BeforeValidator(_action), WithJsonSchema({"type": "string", "enum": [str(action) for action in Action]})
]
ResultWord = Literal["pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror"]
ResultWords = Annotated[tuple[ResultWord, ...], Field(min_length=1), Shorthand()]


class HeaderMatch(CountedText):
    """The header fields of some names, each of them one text."""

    name: Annotated[Texts, AfterValidator(_header_name)] = Field(
        description='Field names without the colon; "*" is every field.'
    )
    only: Literal["first", "last"] | None = Field(None, description="Only the topmost or the lowest of these fields.")
    raw: bool = Field(False, description="The bytes after the colon as received, instead of the decoded value.")
    part: Literal["value", "address", "local_part", "domain", "display_name"] = Field(
        "value", description="Of address fields: a part of each mailbox."
    )


class HeadersMatch(CountedText):
    """The whole header block as one text."""

    decoded: bool = Field(False, description="Each field on one line, decoded, instead of the bytes as received.")


class BodyMatch(CountedText):
    """The decoded text of all text parts, of HTML what is visible."""

    per: Literal["text", "paragraph"] = Field("text", description="The whole text, or each paragraph by itself.")


class DecodedBodyMatch(CountedText):
    """The text parts with their transfer encoding undone, HTML as source."""

    per: Literal["part", "line"] = Field("part", description="Each part, or each of its lines by itself.")
    raw: bool = Field(False, description="The decoded bytes, in whatever character set they are.")


class ElementMatch(Model):
    """One HTML element that meets all of these."""

    name: Word | None = Field(None, description="Element name in lower case.")
    attributes: dict[str, PresentWord] | None = Field(None, description="Its attributes, by name.")
    count: Count | None = Field(None, description="How many elements meet this.")


class HtmlMatch(Model):
    """The HTML parts."""

    element: ElementMatch | None = Field(None, description="An element, by name and attributes.")

    visible: CountedText | None = Field(None, description="Text that the reader sees.")
    hidden: CountedText | None = Field(None, description="Text in the markup that the reader does not see.")
    tags: dict[str, Count] | None = Field(None, description="How often each element occurs.")
    links: Count | None = Field(None, description="How many links there are.")
    images: Count | None = Field(None, description="How many images there are.")


class UrlMatch(TextCondition):
    """One URL that meets all of these; conditions without a part are on the whole URL."""

    host: Word | None = Field(None, description="Host name in lower case, or IP address.")
    domain: Word | None = Field(None, description="Registrable domain; empty for an IP address.")
    path: Word | None = None
    query: Word | None = None
    decoded: Word | None = Field(None, description="The whole URL with its percent encoding undone.")
    scheme: Word | None = None
    userinfo: Word | None = Field(None, description="What stands before an @ in the authority.")
    port: Count | None = Field(None, description="0 when none is written.")
    source: Word | None = Field(None, description="Where it was found: text, html or header.")
    display: TextCondition | None = Field(None, description="The text of the link.")
    display_names_other_site: bool | None = Field(
        None, description="Whether the link's text names a host of another registrable domain."
    )
    count: Count | None = Field(None, description="How many URLs meet this.")


class PartHeader(PresentText):
    """A header field of a MIME part."""

    name: Annotated[Texts, AfterValidator(_header_name)] = Field(description="Field names without the colon.")
    raw: bool = Field(False, description="The bytes after the colon as received, instead of the decoded value.")


class PartMatch(Model):
    """One MIME part, containers included, that meets all of these."""

    type: Word | None = Field(None, description="Declared media type.")
    header: PartHeader | None = Field(None, description="A header field of the part.")
    disposition: Word | None = Field(None, description="inline, attachment or another word; empty when there is none.")
    encoding: Word | None = Field(None, description="Content-Transfer-Encoding in lower case.")
    charset: Word | None = Field(None, description="Declared character set in lower case.")
    filename: Word | None = None
    text: TextCondition | None = Field(None, description="The decoded text of a text part, HTML as source.")
    size: Bytes | None = Field(None, description="Size of the decoded part.")
    depth: Count | None = Field(None, description="How deep it lies: 0 is the message itself.")
    count: Count | None = Field(None, description="How many parts meet this.")


class AttachmentMatch(Model):
    """One attachment that meets all of these."""

    header: PartHeader | None = Field(None, description="A header field of its MIME part.")

    filename: Word | None = None
    extension: Word | None = Field(None, description="Last extension, in lower case without its dot.")
    type: Word | None = Field(None, description="Declared media type.")
    detected_type: Word | None = Field(None, description="Media type that the content shows; empty when unknown.")
    member: Word | None = Field(None, description="File name of a member of a ZIP archive.")
    sha256: Word | None = None
    size: Bytes | None = None
    count: Count | None = Field(None, description="How many attachments meet this.")


class EnvelopeMatch(Model):
    """The SMTP envelope; the null sender is the empty text."""

    mail_from: CountedWord | None = None
    rcpt_to: CountedWord | None = None


class ClientMatch(Model):
    """The SMTP client."""

    ip: Annotated[Networks, Shorthand()] | None = Field(None, description="In one of these networks.")
    ip_in_list: Texts | None = Field(None, description="List files of networks.")
    name: CountedWord | None = Field(None, description="Verified reverse name; absent when unknown.")
    helo: CountedWord | None = None
    user: CountedWord | None = Field(None, description="Authenticated user; absent when there is none.")
    tls: bool | None = None
    local: bool | None = Field(None, description="Whether it is in local_networks.")


class AuthenticationMatch(Model):
    """RFC 8601 result words of the message; `none` also when the check is not enabled."""

    spf: ResultWords | None = None
    dkim: ResultWords | None = None
    dmarc: ResultWords | None = None
    arc: ResultWords | None = None


class ReceivedMatch(Model):
    """One relay that a Received field (or the session itself, as the newest) tells of, which meets all of these."""

    ip: Annotated[Networks, Shorthand()] | None = Field(None, description="Its address is in one of these networks.")
    name: Word | None = Field(None, description="Its reverse name as the receiver found it; empty when unknown.")
    helo: Word | None = Field(None, description="The name it gave in HELO or EHLO.")
    by: Word | None = Field(None, description="The server that received from it.")
    auth: Word | None = Field(None, description="How it authenticated; empty when it did not.")
    private: bool | None = Field(None, description="Whether its address is one of a private network.")
    only: Literal["first", "last"] | None = Field(None, description="Only the newest relay, or the oldest.")
    count: Count | None = Field(None, description="How many relays meet this.")


class DateMatch(Model):
    """The Date field."""

    valid: bool | None = Field(None, description="Whether there is a Date that can be read.")
    ahead: Duration | None = Field(None, description="How far it lies ahead of the time of the scan.")
    behind: Duration | None = Field(None, description="How far it lies behind the time of the scan.")


class AtLeastMatch(Model):
    """Some of several matches."""

    n: int = Field(ge=1)
    of: tuple[Match, ...] = Field(min_length=1)


class SumTerm(Model):
    """A rule or a match, and how much it counts. A bare text is a rule's name."""

    rule: RuleName | None = None
    match: Match | None = None
    times: float = Field(1.0, allow_inf_nan=False, description="What each of its hits counts.")
    at_most: int | None = Field(None, ge=1, description="How many hits count; as many as there are when not given.")

    @model_validator(mode="after")
    def _one_of_two(self) -> SumTerm:
        if (self.rule is None) is (self.match is None):
            raise ValueError("write either `rule:` or `match:`")
        return self


class SumMatch(Model):
    """How often rules and matches hold, added up."""

    of: tuple[Annotated[SumTerm, Shorthand("rule")], ...] = Field(min_length=1)
    is_: Count = Field(alias="is", description="What the sum must be.")
    as_hits: bool = Field(False, description="Whether the rule counts as often as the sum says, instead of once.")


Pair = Annotated[tuple[Identity, Identity], Field(description="Two identities.")]


class Match(Model):
    """What a rule looks for; all keys given must hold."""

    header: HeaderMatch | None = None
    headers: HeadersMatch | None = Field(None, description="The header block as one text.")
    header_names: CountedText | None = Field(
        None, description="Field names in their order, lower case, one blank each."
    )
    subject: CountedText | None = None
    body: BodyMatch | None = Field(None, description="Decoded text, of HTML what is visible.")
    decoded_body: DecodedBodyMatch | None = Field(None, description="Decoded text parts, of HTML the source.")
    raw_body: CountedText | None = Field(None, description="The bytes after the header as received, still encoded.")
    raw_message: CountedText | None = Field(None, description="The whole message as received.")
    html: HtmlMatch | None = None
    part: PartMatch | None = Field(None, description="A MIME part.")
    url: UrlMatch | None = None
    attachment: AttachmentMatch | None = None
    charset: CountedWord | None = Field(None, description="Declared character sets of text parts.")
    language: CountedWord | None = Field(
        None, description="ISO 639-1 code of the text's language; absent when unclear."
    )
    size: Bytes | None = Field(None, description="Size of the message.")
    defect: CountedWord | None = Field(None, description="Names of what is wrong with the message's form.")
    envelope: EnvelopeMatch | None = None
    client: ClientMatch | None = None
    authentication: AuthenticationMatch | None = None
    date: DateMatch | None = None
    received: ReceivedMatch | None = Field(None, description="A relay that the message came through.")
    same: Pair | None = Field(None, description="Two identities that are there and have a value in common.")
    differ: Pair | None = Field(None, description="Two identities that are there and have no value in common.")
    all: tuple[Match, ...] | None = Field(None, min_length=1)
    any: tuple[Match, ...] | None = Field(None, min_length=1)
    not_: Match | None = Field(None, alias="not")
    at_least: AtLeastMatch | None = None
    rule: RuleName | None = Field(None, description="Another rule of these files, which holds.")
    spamassassin: SpamAssassinMatch | None = Field(None, description="What a rule of SpamAssassin looks for.")
    sum: SumMatch | None = Field(None, description="How often several rules and matches hold, added up.")

    @model_validator(mode="after")
    def _asks_something(self) -> Match:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("an empty match would match every message; say what it looks for")
        return self


class When(Model):
    """Under which circumstances a rule is asked; all keys given must hold."""

    direction: Literal["incoming", "outgoing"] | None = Field(
        None, description="outgoing: from an authenticated user or from local_networks; incoming: from anybody else."
    )
    authenticated: bool | None = Field(None, description="Whether the client has authenticated.")
    rcpt_domain: CountedWord | None = Field(None, description="The domain of a recipient of the envelope.")

    @model_validator(mode="after")
    def _asks_something(self) -> When:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("no circumstance: write `direction:`, `authenticated:` or `rcpt_domain:`")
        return self


class Attached(Model):
    """An attachment of a sample."""

    filename: str
    type: str = "application/octet-stream"
    text: str = Field("", description="Its content.")


class Sender(Model):
    """Who a message comes from and who it is for, as far as that is unusual."""

    mail_from: str | None = None
    rcpt_to: Texts | None = None
    client: str = Field("", description="IP address.")
    client_name: str = ""
    helo: str = ""
    user: str = ""
    local: bool = Field(False, description="Whether the client is in local_networks.")
    authentication: dict[Literal["spf", "dkim", "dmarc", "arc"], ResultWord] = Field({})


class Sample(Sender):
    """A message to try a rule on: what is given is put into an ordinary message; a bare text is `text`."""

    text: str | None = Field(None, description="Put into every text that the rule looks at.")
    subject: str | None = None
    body: str | None = None
    html: str | None = None
    repeat: int = Field(1, ge=1, le=1000, description="How often body and html stand there.")
    headers: dict[str, str | None] = Field({}, description="Field values; null leaves the field out.")
    attachments: tuple[Attached, ...] = ()
    message: str | None = Field(None, description="A whole message instead, header and body.")


class Samples(Model):
    """Texts or messages that a rule must, and must not, match."""

    match: tuple[Annotated[Sample, Shorthand("text")], ...] = ()
    no_match: tuple[Annotated[Sample, Shorthand("text")], ...] = ()


class Named(Model):
    """What rules, composites and lists have in common."""

    name: SymbolName
    score: float = Field(1.0, allow_inf_nan=False)
    description: str = ""
    group: str = Field("", description="A word for related rules.")
    enabled: bool = True
    action: ForcedAction | None = Field(None, description="The action it forces, whatever the score is.")


class RuleModel(Named):
    """A rule: a symbol that fires when a message matches. A name that begins with _ makes it a part for other rules."""

    name: RuleName
    when: When | None = Field(None, description="Under which circumstances it is asked.")
    match: Match
    tests: Samples = Samples()


class Terms(Model):
    """An expression over symbols; all keys given must hold. A bare text is a symbol's name."""

    symbol: SymbolName | None = None
    all: tuple[Term, ...] | None = Field(None, min_length=1)
    any: tuple[Term, ...] | None = Field(None, min_length=1)
    not_: NoneOf | None = Field(None, alias="not", description="None of these.")
    at_least: AtLeastTerms | None = None
    sum: SumTerms | None = Field(None, description="The symbols that fired, added up.")

    @model_validator(mode="after")
    def _asks_something(self) -> Terms:
        if all(getattr(self, "not_" if key == "not" else key) is None for key in TERM_KEYS):
            raise ValueError("no condition: write `all:`, `any:`, `not:` or `at_least:`")
        return self


TERM_KEYS = ("symbol", "all", "any", "not", "at_least", "sum")
Term = Annotated[Terms, Shorthand("symbol")]
NoneOf = Annotated[tuple[Term, ...], Field(min_length=1), Shorthand()]


class AtLeastTerms(Model):
    """Some of several terms."""

    n: int = Field(ge=1)
    of: tuple[Term, ...] = Field(min_length=1)


class WeightedTerms(Terms):
    """A term and how much it counts. A bare text is a symbol's name."""

    times: float = Field(1.0, allow_inf_nan=False, description="What it counts when it holds.")


class SumTerms(Model):
    """What each term counts when it holds, added up."""

    of: tuple[Annotated[WeightedTerms, Shorthand("symbol")], ...] = Field(min_length=1)
    is_: Count = Field(alias="is", description="What the sum must be.")


class CompositeModel(Named, Terms):
    """A symbol that fires when other symbols do (or do not)."""


class ListModel(Named):
    """A list file of addresses, domains and networks, and what of a message is looked up in it."""

    score: float = Field(0.0, allow_inf_nan=False)
    when: When | None = None
    file: str = Field(min_length=1, description="Relative to the rules file.")
    of: Annotated[tuple[ListTarget, ...], Field(min_length=1), Shorthand()]
    authenticated: bool | None = Field(
        None,
        description="Whether senders count only when SPF, DKIM or DMARC vouch for them. Default: true for a list that "
        "lowers the score or forces `no action`.",
    )


class GroupModel(Model):
    """Rules, lists and composites with the same `group:`, whose scores together have a limit."""

    name: str = Field(min_length=1)
    description: str = ""
    max_score: float = Field(gt=0, allow_inf_nan=False, description="The most they add to a message's score.")


class RuleFile(Model):
    """A rules file."""

    rules: tuple[RuleModel, ...] = ()
    composites: tuple[CompositeModel, ...] = ()
    lists: tuple[ListModel, ...] = ()
    groups: tuple[GroupModel, ...] = ()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a rules file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | RuleFile.model_json_schema(by_alias=True)
