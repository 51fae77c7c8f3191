"""What the JSON API takes and gives, as models: requests are checked against them, and the description is made of them.

The rule: nothing is taken or given that is not declared here.
"""

from __future__ import annotations

import base64
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from filterproxy.core.action import Action

Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Address = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$", description="Without angle brackets.")]


def _ip(value: str) -> str:
    found = ip_address(value)
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


Ip = Annotated[
    str,
    AfterValidator(_ip),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
]
ActionWord = Annotated[str, WithJsonSchema({"type": "string", "enum": [action.value for action in Action]})]


def _flag(value: Any) -> Any:
    # In a query everything is text; what pydantic takes for a boolean beside these two is not described.
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Flag = Annotated[bool, BeforeValidator(_flag), Field(strict=True)]
Class = Literal["spam", "ham"]
_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


class Model(BaseModel):
    """Base: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Facts(Model):
    """What is known of a message beside its octets, in the query; what is not told is not known."""

    ip: Ip | None = Field(None, description="The SMTP client's address; SPF, lists and other checks of it need it.")
    hostname: Text = Field("", description="The client's verified reverse name.")
    helo: Text = Field("", description="The name in HELO.")
    mail_from: Address | None = Field(None, description="The envelope sender; empty is the null sender.")
    rcpt_to: tuple[Address, ...] = Field((), max_length=1000, description="The envelope's recipients.")
    user: Text = Field("", description="The authenticated user.")
    queue_id: Annotated[Text, Field(max_length=64)] = Field("", description="The MTA's queue id.")
    record: Flag = Field(True, description="False: the message leaves no trace in log, history and statistics.")


class TextMessage(Model):
    """A message as text."""

    message: str = Field(min_length=1, description="The message; it is taken as UTF-8.")

    @property
    def octets(self) -> bytes:
        """Return the message."""
        return self.message.encode()


class Base64Message(Model):
    """A message as base64, for octets that are no UTF-8."""

    message_base64: str = Field(
        min_length=4, pattern=_BASE64, description="The message in base64 (RFC 4648 section 4)."
    )

    @property
    def octets(self) -> bytes:
        """Return the message."""
        return base64.b64decode(self.message_base64)


class ClassQuery(Model):
    """As what a message is learned, in the query."""

    class_: Class = Field(alias="class", description="As what the message is learned.")


class NoQuery(Model):
    """Nothing in the query."""


class HistoryQuery(Model):
    """Which rows of the history."""

    limit: int = Field(100, ge=1, le=1000, description="At most so many rows.")
    before: int | None = Field(None, ge=1, le=2**62, description="Only older rows: `next` of the page before.")
    since: float | None = Field(None, ge=0, le=1e11, description="Only from then on, in seconds since 1970.")
    action: Action | None = Field(None, description="Only this action.")
    sender: Text = Field("", description="Part of the envelope sender.")
    recipient: Text = Field("", description="Part of an envelope recipient.")
    queue_id: Text = Field("", description="The MTA's queue id.")
    symbol: Text = Field("", description="Only messages that fired this symbol.")


class ModelChoice(Model):
    """Which model to use."""

    name: str = Field(min_length=1, max_length=255, description="A name of GET /models.")


# Answers


class SymbolHit(Model):
    """A symbol that fired."""

    name: str
    score: float
    options: list[str]
    description: str


class NewField(Model):
    """A header field to add on top, in this order."""

    name: str
    value: str


class RemovedField(Model):
    """Header fields to remove."""

    name: str
    occurrences: list[int] | None = Field(description="Which ones, from 1; null is all.")


class Headers(Model):
    """The changes to the header section."""

    add: list[NewField]
    remove: list[RemovedField]


class SmtpReply(Model):
    """What the SMTP client should be told."""

    code: int
    text: str


class ScanAnswer(Model):
    """The verdict."""

    request_id: str
    action: ActionWord
    score: float
    required_score: float | None = Field(description="The threshold of `add header`.")
    reject_score: float | None
    symbols: list[SymbolHit]
    authentication: dict[str, str] = Field(description="RFC 8601 words of spf, dkim, dmarc and arc.")
    forced_by: str = Field(description="The symbol that forced the action; empty when the score decided.")
    reply: SmtpReply | None = Field(description="For `reject` and `soft reject`.")
    subject: str | None = Field(description="The new subject for `rewrite subject`.")
    headers: Headers
    message_id: str
    urls: list[str]
    seconds: float


class Learned(Model):
    """What became of a lesson."""

    request_id: str
    changed: bool = Field(description="False: it was known already (or, to forget, not known).")


class HistoryEntry(Model):
    """One row of the history; addresses are the envelope's."""

    id: int
    time: float
    queue_id: str
    session: str
    listener: str
    client: str
    client_name: str
    helo: str
    user: str
    mail_from: str
    rcpt_to: list[str]
    header_from: str
    subject: str
    message_id: str
    message_date: float | None
    size: int
    action: str
    score: float
    required_score: float | None
    reply: str
    seconds: float
    symbols: list[SymbolHit]


class HistoryPage(Model):
    """Rows, newest first."""

    rows: list[HistoryEntry]
    next: int | None = Field(description="The `before` of the next page; null on the last one.")


class DeclaredSymbol(Model):
    """A symbol that may fire."""

    name: str
    score: float
    description: str
    group: str
    action: str | None = Field(description="The action that it forces.")


class SymbolList(Model):
    """All symbols of the enabled checks."""

    symbols: list[DeclaredSymbol]


class DeclaredRule(DeclaredSymbol):
    """A rule, a list or a composite of the rules files."""

    kind: Literal["rule", "composite"]


class RuleList(Model):
    """All rules, lists and composites."""

    rules: list[DeclaredRule]


class ModelEntry(Model):
    """A model of the classifier."""

    name: str
    in_use: bool
    spam: int = Field(description="Examples that it was trained on.")
    ham: int
    created: str
    problem: str = Field(description="Why it cannot be used; empty when it can.")


class ModelList(Model):
    """The models beside the configuration, the shipped one, and the one in use."""

    models: list[ModelEntry]
    learned_spam: int = Field(description="Messages learned here on top of the model in use.")
    learned_ham: int


class Chosen(Model):
    """The model that is in use now."""

    request_id: str
    name: str


class Health(Model):
    """Whether this worker takes mail."""

    status: Literal["ok", "draining"]


class Problem(BaseModel):
    """What is wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = Field(None, description="For 422: each place and what is wrong with it.")
