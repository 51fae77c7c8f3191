"""What a rule may ask of a text: the conditions, as they are written in a rules file.

The rule: keys are added to and never renamed or given another meaning; several keys in one condition all hold.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from filterproxy.ruleset.numbers import Count


class Model(BaseModel):
    """Base: an unknown key is an error, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Shorthand:
    """Lets a value that is a map (or a list) also be written as a bare text.

    The text, or with `lists` also a list of texts, stands for a map with only `key`; without `key` for a list of one.
    """

    def __init__(self, key: str = "", *, lists: bool = False) -> None:
        self.key = key
        self.types = (str, list) if lists else (str,)

    def _expand(self, value: Any) -> Any:
        if isinstance(value, bool | int | float):
            raise ValueError(f"{value!r} is no text here: put it in quotes")
        if not isinstance(value, self.types):
            return value
        return {self.key: value} if self.key else [value]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        full = handler(schema)
        # A bare text for a list of one is what the list may hold.
        one = full.get("items", {"type": "string"}) if not self.key else {"type": "string"}
        short: list[dict[str, Any]] = [one]
        if list in self.types:
            short.append({"type": "array", "items": {"type": "string"}})
        return {"anyOf": [*short, full]}


# One text or a list of them, of which any one will do.
Texts = Annotated[tuple[str, ...], Field(min_length=1), Shorthand()]


# Of short things (host names, extensions, addresses) a bare text or a list of texts means `equals`.
_WORD = Shorthand("equals", lists=True)


class TextCondition(Model):
    """Conditions on one text; those given must all hold for the same text."""

    regex: Texts | None = Field(None, description="Regular expressions (RE2); one of them is found in the text.")
    contains: Texts | None = Field(None, description="One of these is part of the text.")
    equals: Texts | None = Field(None, description="The text is one of these.")
    starts_with: Texts | None = Field(None, description="The text begins with one of these.")
    ends_with: Texts | None = Field(None, description="The text ends with one of these.")
    in_list: Texts | None = Field(None, description="List files, relative to this file; the text is in one of them.")
    length: Count | None = Field(None, description="Characters of the text.")
    not_: Annotated[TextCondition, _WORD] | None = Field(
        None, alias="not", description="What must not hold for the same text."
    )
    ignore_case: bool = Field(True, description="Whether upper and lower case are the same.")
    normalize: bool = Field(True, description="Whether the text is brought to normal form first.")

    def is_empty(self) -> bool:
        """Tell whether nothing is asked."""
        settings = {"ignore_case", "normalize"}
        return all(getattr(self, name) is None for name in TextCondition.model_fields if name not in settings)


Word = Annotated[TextCondition, _WORD]


class CountedText(TextCondition):
    """Conditions on each of several texts, and how many must meet them (at least one, unless `count` says else)."""

    count: Count | None = Field(None, description="How many texts (in one long text: how many places) meet this.")
    places: Count | None = Field(None, description="How many places of all texts together match the `regex`.")
    exists: bool | None = Field(None, description="True: there is such a text. False: there is none.")
    absent: bool | None = Field(None, description="True: there is no such text.")

    @model_validator(mode="after")
    def _asks_something(self) -> CountedText:
        presence = [value for value in (self.exists, self.absent) if value is not None]
        if len(presence) + (self.count is not None) + (self.places is not None) > 1:
            raise ValueError("`exists`, `absent`, `count` and `places` exclude each other")
        if presence and not self.is_empty():
            raise ValueError("`exists` and `absent` stand alone; a text that must not be there is written with `not:`")
        return self


CountedWord = Annotated[CountedText, _WORD]


class PresentText(TextCondition):
    """Conditions on a text that need not be there: the header field of a part, the attribute of an element."""

    exists: bool | None = Field(None, description="True: it is there. False: it is not.")
    absent: bool | None = Field(None, description="True: it is not there.")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> PresentText:
        presence = [value for value in (self.exists, self.absent) if value is not None]
        if len(presence) > 1 or (presence and not self.is_empty()):
            raise ValueError("`exists` and `absent` stand alone")
        return self

    @property
    def wanted(self) -> bool | None:
        """Return whether it must be there, None when only its text counts."""
        return not self.absent if self.absent is not None else self.exists


PresentWord = Annotated[PresentText, _WORD]
