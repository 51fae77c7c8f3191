"""From a `match` as it is written to the nodes that are asked: one function for each matcher.

The rule: everything that can be wrong with a match is found here and placed where it was written; what is compiled
cannot fail on a message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from filterproxy.config.yaml_loader import KeyPath, YamlDocument
from filterproxy.core.errors import ConfigError
from filterproxy.core.ports import in_networks
from filterproxy.ruleset import pieces, relay_fields, schema, targets
from filterproxy.ruleset.conditions import CountedText, TextCondition
from filterproxy.ruleset.expressions import (
    MAX_LENGTH,
    ExpressionError,
    any_of,
    check_ranges,
    compile_across,
    compile_expression,
    is_limited,
    limiting_construct,
    literally,
)
from filterproxy.ruleset.facts import Facts, Field, Target
from filterproxy.ruleset.limited import LimitedExpression
from filterproxy.ruleset.lists import ListFile
from filterproxy.ruleset.literals import Literals, required_literals
from filterproxy.ruleset.nodes import (
    AtLeastNode,
    LengthTest,
    ListTest,
    Node,
    NotNode,
    NotTest,
    Occurrences,
    Pattern,
    PatternTest,
    Question,
    Test,
    Things,
    flag_question,
    network_question,
    number_question,
    relation_question,
)
from filterproxy.ruleset.normal_form import normal_expression, normal_form
from filterproxy.ruleset.numbers import AT_LEAST_ONE, NONE, Numbers
from filterproxy.ruleset.references import Named, RuleReference, SumNode
from filterproxy.ruleset.spamassassin.model import SpamAssassinMatch
from filterproxy.ruleset.spamassassin.nodes import make_node
from filterproxy.ruleset.when import WhenNode, outgoing

_MANY = ("a repetition of more than 1000, nested ones multiplied,", "repeat less often, or use `length:` or `places:`")
_SWITCHED_OFF = re.compile(r"\(\?[a-zA-Z]*-")
_ENDS_OF_TEXT = re.compile(r"(?<!\\)((?:\\\\)*)\\([Az])")
OpenList = Callable[[str, Path], ListFile]  # (as written, the rules file): raises ConfigError


class Compiler:
    """Compiles the matches of one ruleset; errors are collected in `errors` instead of stopping at the first."""

    def __init__(self, open_list: OpenList) -> None:
        self.errors: list[ConfigError] = []
        self.notes: list[ConfigError] = []
        self.patterns: list[Pattern] = []
        self.named = Named()
        self.compiling = ""
        self._known: dict[tuple[Field, str], Pattern] = {}
        self._open_list = open_list

    def match(self, match: schema.Match, document: YamlDocument, path: KeyPath) -> Node:
        """Return the node of a match that is written at `path` of the document."""
        nodes = list(_Matchers(self, document).nodes(match, path))
        return nodes[0] if len(nodes) == 1 else AtLeastNode(len(nodes), tuple(nodes))

    def when(self, when: schema.When | None, node: Node, document: YamlDocument, path: KeyPath) -> Node:
        """Return the node, to be asked only under the circumstances that are written at `path`."""
        if when is None:
            return node
        return WhenNode(tuple(_Matchers(self, document).circumstances(when, path)), node)

    def pattern(self, of: Field, expression: str, longest: int = MAX_LENGTH) -> Pattern:
        """Return the compiled expression over a field, the same object for the same expression."""
        known = self._known.get((of, expression))
        if known is None:
            regex = compile_expression(expression, raw=of.raw, longest=longest)
            linear = regex.linear if isinstance(regex, LimitedExpression) else expression
            literals, across = Literals(), None
            if linear:
                literals = required_literals(linear, plain=of.normalize)
                linear = _ends_of_lines(linear) if of.split else linear
                if of.split and not _SWITCHED_OFF.search(linear):
                    across = compile_across(linear, raw=of.raw)
            if isinstance(regex, LimitedExpression):
                literals = literals._replace(longest=0)
            known = Pattern(len(self.patterns), of, regex, literals, linear or "", across)
            self.patterns.append(known)
            self._known[of, expression] = known
        return known

    def lists(self, names: tuple[str, ...], document: YamlDocument, path: KeyPath) -> tuple[ListFile, ...]:
        """Return the list files of these names; one that cannot be read is an error."""
        found: list[ListFile] = []
        for name in names:
            try:
                found.append(self._open_list(name, Path(document.file)))
            except ConfigError as error:
                if error.line:
                    self.errors.append(error)
                else:
                    self.errors.append(document.error(path, f"{error.file}: {error.reason}", hint=error.hint))
        return tuple(found)


class _Matchers:
    """Compiles the matches of one file."""

    def __init__(self, compiler: Compiler, document: YamlDocument) -> None:
        self._compiler = compiler
        self._document = document

    def nodes(self, match: schema.Match, path: KeyPath) -> Iterator[Node]:
        """Yield a node for each key of the match."""
        for key, of in _TEXT_KEYS.items():
            condition = getattr(match, key)
            if condition is not None:
                yield self._text(condition, of, (*path, key))
        for key, pick in _CHOSEN_TEXTS.items():
            chosen = getattr(match, key)
            if chosen is not None:
                yield self._text(chosen, pick(chosen), (*path, key))
        for key, compile_key in _KEYS.items():
            value = getattr(match, key)
            if value is not None:
                yield from compile_key(self, value, (*path, key.removesuffix("_")))

    def circumstances(self, when: schema.When, path: KeyPath) -> Iterator[Node]:
        """Yield a node for each key of a `when`."""
        if when.direction is not None:
            yield flag_question(outgoing, when.direction == "outgoing", "direction")
        if when.authenticated is not None:
            yield flag_question(lambda facts: bool(facts.transaction.user), when.authenticated, "authenticated")
        if when.rcpt_domain is not None:
            yield self._text(when.rcpt_domain, targets.RCPT_DOMAIN, (*path, "rcpt_domain"))

    def _all(self, matches: tuple[schema.Match, ...], path: KeyPath) -> Iterator[Node]:
        yield self._at_least(len(matches), matches, path)

    def _any(self, matches: tuple[schema.Match, ...], path: KeyPath) -> Iterator[Node]:
        yield self._at_least(1, matches, path)

    def _some(self, value: schema.AtLeastMatch, path: KeyPath) -> Iterator[Node]:
        if value.n > len(value.of):
            self._error((*path, "n"), f"{value.n} of {len(value.of)} can never hold")
        yield self._at_least(value.n, value.of, (*path, "of"))

    def _not(self, match: schema.Match, path: KeyPath) -> Iterator[Node]:
        yield NotNode(self._compiler.match(match, self._document, path))

    def _at_least(self, count: int, matches: tuple[schema.Match, ...], path: KeyPath) -> Node:
        compiled = (self._compiler.match(m, self._document, (*path, number)) for number, m in enumerate(matches))
        return AtLeastNode(count, tuple(compiled))

    def _rule(self, name: str, path: KeyPath) -> Iterator[Node]:
        named = self._compiler.named
        named.uses.append((self._compiler.compiling, name, self._document, path))
        yield RuleReference(name, named)

    def _spamassassin(self, value: SpamAssassinMatch, path: KeyPath) -> Iterator[Node]:
        try:
            lists = self._compiler.lists((value.list_,), self._document, (*path, "list")) if value.list_ else ()
            yield make_node(value, self._compiler.pattern, next(iter(lists), None))
        except ExpressionError as error:
            self._error((*path, "regex"), error.reason, hint=error.hint)
        except ValueError as error:
            self._error((*path, "arguments"), f"{value.function}: {error}")

    def _sum(self, value: schema.SumMatch, path: KeyPath) -> Iterator[Node]:
        terms: list[tuple[float, Node]] = []
        for number, term in enumerate(value.of):
            place = (*path, "of", number)
            if term.match is not None:
                node = self._compiler.match(term.match, self._document, (*place, "match"))
            else:
                node = next(self._rule(term.rule or "", place))
            terms.append((term.times, node))
        limits = tuple(math.inf if term.at_most is None else term.at_most for term in value.of)
        yield SumNode(tuple(terms), value.is_, limits, value.as_hits)

    def _header(self, value: schema.HeaderMatch, path: KeyPath) -> Iterator[Node]:
        if value.raw and value.part != "value":
            self._error((*path, "part"), "a raw header field has no parts", hint="leave out `raw:`")
        names = tuple(name.lower() for name in value.name)
        yield self._text(value, targets.header(names, value.part, raw=value.raw, only=value.only), path)

    def _element(self, value: schema.ElementMatch, path: KeyPath) -> Node:
        texts: list[tuple[Field, tuple[Test, ...]]] = []
        questions: list[Callable[[Any], bool]] = []
        if value.name is not None:
            texts.append(self._part(value.name, pieces.ELEMENT_NAME, (*path, "name")))
        for name, condition in (value.attributes or {}).items():
            key = name.lower()
            if condition.wanted is None:
                texts.append(self._part(condition, pieces.attribute(key), (*path, "attributes", name)))
            else:
                questions.append(partial(_has_attribute, key, condition.wanted))
        return Things(pieces.ELEMENTS, tuple(texts), tuple(questions), value.count or AT_LEAST_ONE)

    def _html(self, value: schema.HtmlMatch, path: KeyPath) -> Iterator[Node]:
        if value.element is not None:
            yield self._element(value.element, (*path, "element"))
        if value.visible is not None:
            yield self._text(value.visible, targets.VISIBLE, (*path, "visible"))
        if value.hidden is not None:
            yield self._text(value.hidden, targets.HIDDEN, (*path, "hidden"))
        for tag, count in (value.tags or {}).items():
            yield number_question(partial(targets.html_tag_count, tag=tag), count, tag)
        if value.links is not None:
            yield number_question(targets.html_links, value.links, "links")
        if value.images is not None:
            yield number_question(targets.html_images, value.images, "images")

    def _url(self, value: schema.UrlMatch, path: KeyPath) -> Iterator[Node]:
        parts = [(name, getattr(value, name)) for name in targets.URL_FIELDS if name != "url"]
        texts = [self._part(c, targets.URL_FIELDS[name], (*path, name)) for name, c in parts if c is not None]
        whole = TextCondition.model_validate({key: getattr(value, key) for key in TextCondition.model_fields})
        if not whole.is_empty():
            texts.insert(0, self._part(whole, targets.URL_FIELDS["url"], path))
        questions: list[Callable[[Any], bool]] = []
        if value.port is not None:
            questions.append(_number(targets.url_port, value.port))
        if value.display_names_other_site is not None:
            questions.append(_flag(targets.names_other_site, value.display_names_other_site))
        yield Things(targets.URLS, tuple(texts), tuple(questions), value.count or AT_LEAST_ONE)

    def _attachment(self, value: schema.AttachmentMatch, path: KeyPath) -> Iterator[Node]:
        parts = [(name, getattr(value, name)) for name in targets.ATTACHMENT_FIELDS]
        texts = [self._part(c, targets.ATTACHMENT_FIELDS[name], (*path, name)) for name, c in parts if c is not None]
        questions = [] if value.size is None else [_number(targets.attachment_size, value.size)]
        self._part_header(value.header, targets.ATTACHMENTS, texts, questions, path)
        yield Things(targets.ATTACHMENTS, tuple(texts), tuple(questions), value.count or AT_LEAST_ONE)

    def _mime_part(self, value: schema.PartMatch, path: KeyPath) -> Iterator[Node]:
        parts = [(name, getattr(value, name)) for name in pieces.PART_FIELDS]
        texts = [self._part(c, pieces.PART_FIELDS[name], (*path, name)) for name, c in parts if c is not None]
        numbers = ((pieces.part_size, value.size), (pieces.part_depth, value.depth))
        questions = [_number(read, wanted) for read, wanted in numbers if wanted is not None]
        self._part_header(value.header, pieces.PARTS, texts, questions, path)
        yield Things(pieces.PARTS, tuple(texts), tuple(questions), value.count or AT_LEAST_ONE)

    def _part_header(
        self, value: schema.PartHeader | None, target: Target, texts: list[tuple[Field, tuple[Test, ...]]],
        questions: list[Callable[[Any], bool]], path: KeyPath,
    ) -> None:  # fmt: skip
        """Add the condition on a header field of a part to its texts or questions."""
        if value is None:
            return
        names = tuple(name.lower() for name in value.name)
        if value.wanted is None:
            texts.append(self._part(value, pieces.part_header(target, names, raw=value.raw), (*path, "header")))
        else:
            questions.append(partial(_has_header, names, value.wanted))

    def _size(self, value: Numbers, path: KeyPath) -> Iterator[Node]:
        yield number_question(lambda facts: facts.message.size, value, "size")

    def _envelope(self, value: schema.EnvelopeMatch, path: KeyPath) -> Iterator[Node]:
        if value.mail_from is not None:
            yield self._text(value.mail_from, targets.MAIL_FROM, (*path, "mail_from"))
        if value.rcpt_to is not None:
            yield self._text(value.rcpt_to, targets.RCPT_TO, (*path, "rcpt_to"))

    def _client(self, value: schema.ClientMatch, path: KeyPath) -> Iterator[Node]:
        if value.ip is not None or value.ip_in_list is not None:
            lists = self._compiler.lists(value.ip_in_list or (), self._document, (*path, "ip_in_list"))
            yield network_question(value.ip or (), lists)
        texts = {"name": targets.CLIENT_NAME, "helo": targets.CLIENT_HELO, "user": targets.CLIENT_USER}
        for key, of in texts.items():
            condition = getattr(value, key)
            if condition is not None:
                yield self._text(condition, of, (*path, key))
        if value.tls is not None:
            yield flag_question(lambda facts: facts.transaction.tls is not None, value.tls, "tls")
        if value.local is not None:
            yield flag_question(lambda facts: facts.transaction.local, value.local, "local")

    def _authentication(self, value: schema.AuthenticationMatch, path: KeyPath) -> Iterator[Node]:
        for method in type(value).model_fields:
            words = getattr(value, method)
            if words is not None:
                yield Question(partial(_result_word, method, frozenset(words)), "authentication")

    def _received(self, value: schema.ReceivedMatch, path: KeyPath) -> Iterator[Node]:
        fields = relay_fields.fields(value.only)
        parts = [(name, getattr(value, name)) for name in fields]
        texts = [self._part(c, fields[name], (*path, name)) for name, c in parts if c is not None]
        questions: list[Callable[[Any], bool]] = []
        if value.ip is not None:
            networks = value.ip
            questions.append(lambda relay: in_networks(relay.ip, networks))
        if value.private is not None:
            questions.append(_flag(lambda relay: relay.private, value.private))
        target = relay_fields.target(value.only)
        yield Things(target, tuple(texts), tuple(questions), value.count or AT_LEAST_ONE)

    def _date(self, value: schema.DateMatch, path: KeyPath) -> Iterator[Node]:
        if value.valid is not None:
            yield flag_question(lambda facts: facts.date_ahead is not None, value.valid, "Date")
        if value.ahead is not None:
            yield number_question(lambda facts: facts.date_ahead, value.ahead, "seconds")
        if value.behind is not None:
            yield number_question(_date_behind, value.behind, "seconds")

    def _same(self, value: tuple[str, str], path: KeyPath) -> Iterator[Node]:
        yield relation_question(*value, same=True)

    def _differ(self, value: tuple[str, str], path: KeyPath) -> Iterator[Node]:
        yield relation_question(*value, same=False)

    def _text(self, condition: CountedText, of: Field, path: KeyPath) -> Node:
        """Return the node of a condition on the texts of a target."""
        if condition.absent or condition.exists is False:
            return Things(of.target, count=NONE)
        count = condition.count or AT_LEAST_ONE
        if condition.places is not None:
            return self._places(self._part(condition, of, path)[1], condition.places, (*path, "places"))
        if condition.is_empty() and (condition.exists or condition.count is not None):
            return Things(of.target, count=count)
        of, tests = self._part(condition, of, path)
        if of.target.one_text and condition.count is not None:
            return self._places(tests, count, (*path, "count"))
        return Things(of.target, ((of, tests),), count=count)

    def _places(self, tests: tuple[Test, ...], count: Numbers, path: KeyPath) -> Node:
        pattern = tests[0].pattern if isinstance(tests[0], PatternTest) else None
        if len(tests) != 1 or pattern is None:
            self._error(path, "counts the places of one expression", hint=f"write `{path[-1]}:` with one `regex:`")
            return Things(targets.URLS)
        return Occurrences(pattern, count)

    def _part(self, condition: TextCondition, of: Field, path: KeyPath) -> tuple[Field, tuple[Test, ...]]:
        """Return the field, as it is or in normal form, with the tests of a condition on it."""
        if not condition.normalize:
            of = targets.unnormalized(of)
        return of, tuple(self._tests(condition, of, path))

    def _tests(self, condition: TextCondition, of: Field, path: KeyPath) -> Iterator[Test]:
        if condition.is_empty():
            self._error(path, "asks nothing", hint="write for example {regex: …} or {contains: …}")
        for key, make in _EXPRESSIONS.items():
            texts = getattr(condition, key)
            if texts is not None:
                yield from self._pattern(condition, key, make, texts, of, (*path, key))
        if condition.in_list is not None:
            yield ListTest(self._compiler.lists(condition.in_list, self._document, (*path, "in_list")))
        if condition.length is not None:
            yield LengthTest(condition.length)
        if condition.not_ is not None:
            yield NotTest(tuple(self._tests(condition.not_, of, (*path, "not"))))

    def _pattern(
        self, condition: TextCondition, key: str, make: Callable[[tuple[str, ...]], str], texts: tuple[str, ...],
        of: Field, path: KeyPath,
    ) -> Iterator[Test]:  # fmt: skip
        flags = "(?i)" if condition.ignore_case else ""
        written = texts
        if of.normalize:
            texts = tuple(normal_expression(t) if key == "regex" else normal_form(t, len(t)) for t in texts)
        try:
            if key == "regex" and of.normalize:
                check_ranges(any_of(written))
            pattern = self._compiler.pattern(of, flags + make(texts))
            if pattern.limited:
                self._note_limited(written, path)
            yield PatternTest(pattern)
        except ExpressionError as error:
            number, culprit = next(_wrong(written, of), (0, error))
            self._error((*path, number), culprit.reason, hint=culprit.hint)

    def _note_limited(self, written: tuple[str, ...], path: KeyPath) -> None:
        for number, text in enumerate(written):
            found = limiting_construct(text) or (_MANY if is_limited(text) else None)
            if found is not None:
                note = f"{found[0]} cannot be matched in linear time: it runs under checks.rules.look_around_time"
                self._compiler.notes.append(self._placed((*path, number), note, hint=found[1]))

    def _error(self, path: KeyPath, reason: str, *, hint: str = "") -> None:
        self._compiler.errors.append(self._placed(path, reason, hint=hint))

    def _placed(self, path: KeyPath, reason: str, *, hint: str = "") -> ConfigError:
        if isinstance(path[-1], int) and path not in self._document.values:
            path = path[:-1]  # a bare text, not a list of one
        return self._document.error(path, reason, hint=hint)


_TEXT_KEYS = {
    "subject": targets.SUBJECT,
    "raw_body": targets.RAW_BODY,
    "raw_message": targets.RAW_MESSAGE,
    "header_names": targets.HEADER_NAMES,
    "charset": targets.CHARSET,
    "language": targets.LANGUAGE,
    "defect": targets.DEFECT,
}
_DECODED = {
    ("part", False): pieces.DECODED_BODY,
    ("part", True): pieces.DECODED_BYTES,
    ("line", False): pieces.DECODED_LINES,
    ("line", True): pieces.DECODED_BYTE_LINES,
}
_CHOSEN_TEXTS: dict[str, Callable[[Any], Field]] = {
    "headers": lambda value: targets.HEADERS_DECODED if value.decoded else targets.HEADERS,
    "body": lambda value: pieces.PARAGRAPHS if value.per == "paragraph" else targets.BODY,
    "decoded_body": lambda value: _DECODED[value.per, value.raw],
}
_KEYS: dict[str, Callable[[_Matchers, Any, KeyPath], Iterator[Node]]] = {
    "header": _Matchers._header,
    "html": _Matchers._html,
    "part": _Matchers._mime_part,
    "url": _Matchers._url,
    "attachment": _Matchers._attachment,
    "size": _Matchers._size,
    "envelope": _Matchers._envelope,
    "client": _Matchers._client,
    "authentication": _Matchers._authentication,
    "date": _Matchers._date,
    "received": _Matchers._received,
    "same": _Matchers._same,
    "differ": _Matchers._differ,
    "all": _Matchers._all,
    "any": _Matchers._any,
    "not_": _Matchers._not,
    "at_least": _Matchers._some,
    "rule": _Matchers._rule,
    "sum": _Matchers._sum,
    "spamassassin": _Matchers._spamassassin,
}
_EXPRESSIONS: dict[str, Callable[[tuple[str, ...]], str]] = {
    "regex": any_of,
    "contains": literally,
    "equals": lambda texts: rf"\A(?:{literally(texts)})\z",
    "starts_with": lambda texts: rf"\A(?:{literally(texts)})",
    "ends_with": lambda texts: rf"(?:{literally(texts)})\z",
}


def _ends_of_lines(expression: str) -> str:
    """Return the expression with the ends of lines in place of those of the text: each piece is on lines of its own."""
    return _ENDS_OF_TEXT.sub(lambda match: match[1] + ("^" if match[2] == "A" else "$"), expression)


def _wrong(texts: tuple[str, ...], of: Field) -> Iterator[tuple[int, ExpressionError]]:
    """Yield the number and the error of each expression that cannot be compiled."""
    for number, text in enumerate(texts):
        try:
            compile_expression(text, raw=of.raw)
            if of.normalize:
                check_ranges(text)
        except ExpressionError as error:
            yield number, error


def _has_attribute(name: str, wanted: bool, element: pieces.Element) -> bool:
    return (name in element.attributes) is wanted


def _has_header(names: tuple[str, ...], wanted: bool, item: Any) -> bool:
    return bool(pieces.header_fields(item, names)) is wanted


def _number(read: Callable[[Any], float], numbers: Numbers) -> Callable[[Any], bool]:
    return lambda item: read(item) in numbers


def _flag(read: Callable[[Any], bool], wanted: bool) -> Callable[[Any], bool]:
    return lambda item: read(item) is wanted


def _result_word(method: str, words: frozenset[str], facts: Facts) -> str | None:
    word = facts.authentication[method]
    return f"{method}={word}" if word in words else None


def _date_behind(facts: Facts) -> float | None:
    return None if facts.date_ahead is None else -facts.date_ahead
