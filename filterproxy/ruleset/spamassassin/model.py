"""`match: {spamassassin: …}` as it is written in a rules file.

The rule: it says what a line of SpamAssassin's rules says, in our words; docs/from-spamassassin.md explains it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from filterproxy.ruleset.conditions import Model
from filterproxy.ruleset.spamassassin.functions import FUNCTIONS
from filterproxy.ruleset.spamassassin.header_texts import MODIFIERS

_FIELD = re.compile(r"[!-9;-~]+\Z")
_TARGETS = ("text", "header", "mime_header", "function")


def _query(text: str) -> str:
    name, *modifiers = text.split(":")
    unknown = [modifier for modifier in modifiers if modifier not in MODIFIERS]
    if not _FIELD.match(name) or unknown:
        raise ValueError(f"{text!r} is no header field; write Name or Name:addr ({', '.join(sorted(MODIFIERS))})")
    return text


def _function(name: str) -> str:
    if name not in FUNCTIONS:
        raise ValueError(f"{name!r} is no function here; docs/from-spamassassin.md lists them")
    return name


HeaderQuery = Annotated[str, AfterValidator(_query)]


class SpamAssassinMatch(Model):
    """A text as SpamAssassin cuts it and an expression on its bytes, or one of its functions."""

    text: Literal["body", "rawbody", "full", "uri"] | None = Field(None, description="Which text of the message.")
    header: HeaderQuery | None = Field(None, description="A header field, a pseudo field or a part of one.")
    mime_header: HeaderQuery | None = Field(None, description="A header field of each MIME part.")
    function: Annotated[str, AfterValidator(_function)] | None = Field(None, description="One of its eval functions.")
    arguments: tuple[str, ...] = Field((), description="The arguments of the function.")
    list_: str | None = Field(None, alias="list", description="The list file of a function, relative to this file.")
    regex: str | None = Field(None, description="An expression, found in the bytes of the text.")
    exists: bool | None = Field(None, description="Whether the header field is there.")
    if_unset: str = Field("", description="The text of a header field that is not there.")
    ignore_case: bool = Field(False, description="Whether upper and lower case are the same.")
    hits: int = Field(1, ge=1, le=10_000, description="How many places count at most, for `sum:`.")
    subject: bool = Field(True, description="Whether the subject is the first line of the body.")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> SpamAssassinMatch:
        if sum(getattr(self, key) is not None for key in _TARGETS) != 1:
            raise ValueError("write one of `text:`, `header:`, `mime_header:` and `function:`")
        if self.function is not None and FUNCTIONS[self.function].needs_list is not (self.list_ is not None):
            raise ValueError(
                f"{self.function} reads a list: write `list:`" if self.list_ is None else "it reads no list"
            )
        asked = (self.function is not None) + (self.regex is not None) + (self.exists is not None)
        if asked != 1 or (self.exists is not None and self.header is None):
            raise ValueError("write `regex:`, or `exists:` for a header field")
        return self
