"""Perl's regular expressions in the words of RE2, as far as RE2 has any, and else of the engine with a time limit.

The rule: the same texts match, byte for byte; what cannot be said is refused with its name. See perlre(1).
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_GROUPS = 2000
MAX_REPEAT = 1000
MAX_WRITTEN = 250_000
_CLOSING = {"{": "}", "(": ")", "<": ">", "[": "]"}
_MODIFIERS = frozenset("ismxnadlup")
_CONTROL = {"n": 10, "t": 9, "r": 13, "f": 12, "a": 7, "e": 27}
_CLASSES = {"h": r"[\t ]", "H": r"[^\t ]", "v": r"[\n\x0B\f\r]", "V": r"[^\n\x0B\f\r]", "N": r"[^\n]"}
_IN_CLASS = {"h": r"\t ", "v": r"\n\x0B\f\r", "R": r"\n\r"}
_PLAIN = frozenset("""/'"#@!~%&=:;,<> -_""")
_COUNTED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\{\d+(?:,\d*)?\}|\((?:\?[^:)=!<]*:?)?|.", re.DOTALL)
_FLAGS = re.compile(r"\(\?(\^?[a-z]*)(?:-([a-z]+))?([:)])")
_NAMED = re.compile(r"\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
_LOOKS = {"(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind", "(?>": "atomic group"}
_REFERENCE = re.compile(r"\\(?:([1-9]\d?)|g\{?(-?\d+)\}?|[gk](?:\{(\w+)\}|<(\w+)>|'(\w+)'))")


class PerlRegexError(ValueError):
    """An expression that cannot be said in our words."""


class Expression(NamedTuple):
    """A translated expression.

    `needs`: the constructs because of which it runs in the engine with a time limit; empty when RE2 takes it.
    """

    pattern: str
    ignore_case: bool
    needs: tuple[str, ...]


def translate(written: str) -> Expression:
    """Return the expression that is written as in Perl (`/…/i`, `m{…}s`); raise PerlRegexError."""
    body, modifiers = delimited(written)
    return translate_body(body, modifiers)


def delimited(written: str) -> tuple[str, str]:
    """Return what stands between the delimiters, and the modifiers."""
    if written.startswith("/"):
        end, start = "/", 1
    else:
        match = re.match(r"(?:m|qr)(\W)", written)
        if not match or match[1] == "\\":
            raise PerlRegexError("the expression has no delimiters")
        end, start = _CLOSING.get(match[1], match[1]), match.end()
    stop = written.rfind(end)
    if stop < start:
        raise PerlRegexError(f"the expression does not end with {end!r}")
    modifiers = written[stop + 1 :]
    unknown = sorted(set(modifiers) - _MODIFIERS)
    if unknown:
        raise PerlRegexError(f"unknown modifier {unknown[0]!r} after the expression")
    return written[start:stop], modifiers


def translate_body(body: str, modifiers: str) -> Expression:
    """Return the expression for a pattern without delimiters."""
    extended, multiline = "x" in modifiers, "m" in modifiers
    reader = _Reader(body, extended, multiline, written_out=False)
    pattern = reader.read()
    if not reader.needs:
        reader = _Reader(body, extended, multiline, written_out=True)
        pattern = reader.read()
    flags = "".join(flag for flag in "sm" if flag in modifiers)
    prefix = f"(?{flags})" if flags else ""
    return Expression(prefix + pattern, "i" in modifiers, tuple(dict.fromkeys(reader.needs)))


class _Scope(NamedTuple):
    """What holds inside a group."""

    extended: bool
    multiline: bool


class _Reader:
    """Reads a pattern from left to right and writes it anew."""

    def __init__(self, text: str, extended: bool, multiline: bool, *, written_out: bool) -> None:
        self.text = text
        self.written_out = written_out  # for RE2, which takes no more than 1000 repetitions
        self.at = 0
        self.out: list[str] = []
        self.needs: list[str] = []
        self.scopes = [_Scope(extended, multiline)]
        self.groups = 0
        self.atom = -1
        self.starts: list[int] = []
        self.quoting = False
        self.names: dict[str, int] = {}
        self.references = bool(_REFERENCE.search(text.replace("\\\\", "  ")))

    def read(self) -> str:
        """Return the translated pattern."""
        while self.at < len(self.text):
            self.step()
        if len(self.scopes) > 1:
            raise PerlRegexError("a parenthesis is not closed")
        return "".join(self.out)

    def step(self) -> None:
        """Translate the next element."""
        char = self.text[self.at]
        if self.quoting:
            self.quoted(char)
        elif char == "\\":
            self.escape()
        elif char == "[":
            self.char_class()
        elif char == "(":
            self.group()
        elif char == ")":
            self.close()
        elif char in "*+?{":
            self.quantifier(char)
        elif self.scopes[-1].extended and char in " \t\n\r\f\v":
            self.at += 1
        elif self.scopes[-1].extended and char == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
        else:
            self.put(self.dollar() if char == "$" else _byte(char), 1)

    def put(self, text: str, length: int) -> None:
        self.atom = len(self.out)
        self.out.append(text)
        self.at += length

    def dollar(self) -> str:
        r"""Return the end of a line with `m`; else the end of the text, or before the line end that ends it."""
        return "$" if self.scopes[-1].multiline else r"(?:\n?\z)"

    def quoted(self, char: str) -> None:
        if self.text.startswith("\\E", self.at):
            self.quoting = False
            self.at += 2
        else:
            self.put(_literal(char), 1)

    def escape(self) -> None:
        text = self.text[self.at :]
        reference = _REFERENCE.match(text)
        if reference and not (reference[1] and int(reference[1]) > max(9, self.groups)):
            self.reference(reference)
            return
        char = text[1:2]
        if char == "Q":
            self.quoting = True
            self.at += 2
        elif char and char in "EK":  # \K moves the start of the match, which is of no use here
            self.at += 2
        elif char == "Z":
            self.put(r"(?:\n?\z)", 2)
        elif char == "R":
            self.put(r"(?:\r\n|[\n\x0B\f\r])", 2)
        elif char in _CLASSES:
            self.put(_CLASSES[char], 2)
        elif char and char in "AzbBwWdDsS":
            self.put("\\" + char, 2)
            self.skip_boundary_kind(char)
        else:
            code, length = _coded(text)
            self.put(_utf8(code), length)

    def skip_boundary_kind(self, char: str) -> None:
        if char in "bB" and self.text.startswith("{", self.at) and not _COUNTED.match(self.text, self.at):
            raise PerlRegexError(r"a boundary of a kind (\b{…})")

    def reference(self, match: re.Match[str]) -> None:
        number, relative, *names = match.groups()
        name = next((name for name in names if name), "")
        if name and name not in self.names:
            raise PerlRegexError(f"a reference to the unknown group {name!r}")
        index = self.names[name] if name else int(number or relative)
        if index < 0:
            index += self.groups + 1
        if not 0 < index <= max(self.groups, 1):
            raise PerlRegexError(f"a reference to the group {index}, which is not there")
        self.needs.append("back-reference")
        self.put(f"(?:\\{index})", match.end())

    def group(self) -> None:
        text = self.text[self.at :]
        scope = self.scopes[-1]
        if text.startswith(("(?{", "(??{", "(*")):
            raise PerlRegexError("code or a verb in the expression")
        if text.startswith("(?#"):
            end = self.text.find(")", self.at)
            self.at = len(self.text) if end < 0 else end + 1
            return
        look = next((look for look in _LOOKS if text.startswith(look)), "")
        named = _NAMED.match(text)
        flags = _FLAGS.match(text)
        if look:
            self.needs.append(_LOOKS[look])
            self.open(look, len(look), scope)
        elif named:
            self.groups += 1
            self.names[named[1] or named[2]] = self.groups
            self.open("(", named.end(), scope)
        elif flags:
            self.flags(flags, scope)
        elif text.startswith("(?|") and not self.references:
            self.open("(?:", 3, scope)
        elif text.startswith("(?"):
            raise PerlRegexError(f"the group {text[:4]!r} (a condition or recursion)")
        else:
            self.groups += 1
            self.open("(" if self.references else "(?:", 1, scope)

    def open(self, written: str, length: int, scope: _Scope) -> None:
        if len(self.scopes) > MAX_GROUPS:
            raise PerlRegexError("nested too deep")
        self.scopes.append(scope)
        self.starts.append(len(self.out))
        self.put(written, length)

    def flags(self, match: re.Match[str], scope: _Scope) -> None:
        on, off, end = match[1].removeprefix("^"), match[2] or "", match[3]
        if match[1].startswith("^"):
            off = "".join(flag for flag in "imsx" if flag not in on)
        unknown = sorted(set(on + off) - _MODIFIERS)
        if unknown:
            raise PerlRegexError(f"the unknown flag {unknown[0]!r}")
        changed = _Scope(_switched("x", on, off, scope.extended), _switched("m", on, off, scope.multiline))
        kept_on, kept_off = ("".join(flag for flag in flags if flag in "ism") for flags in (on, off))
        written = f"(?{kept_on}{'-' if kept_off else ''}{kept_off}"
        if end == ":":
            self.open(written + ":", match.end(), changed)
            return
        self.scopes[-1] = changed
        self.inner_flags(written, match.end(), kept_on + kept_off)

    def inner_flags(self, written: str, length: int, kept: str) -> None:
        self.put(f"{written})" if kept else "", length)

    def close(self) -> None:
        if len(self.scopes) == 1:
            raise PerlRegexError("a parenthesis is not opened")
        self.scopes.pop()
        self.put(")", 1)
        self.atom = self.starts.pop()

    def quantifier(self, char: str) -> None:
        counted = _COUNTED.match(self.text, self.at)
        if char == "{" and counted is None:
            self.put("\\{", 1)
            return
        if not self.out or self.out[-1] in ("(", "(?:", "|"):
            raise PerlRegexError(f"nothing stands before {char!r}")
        written = counted[0] if counted else char
        self.at += len(written)
        follows = self.text[self.at : self.at + 1]
        suffix = follows if follows in ("?", "+") else ""
        self.at += len(suffix)
        if suffix == "+":
            self.needs.append("possessive quantifier")
        atom = self.out[self.atom :]
        if self.written_out and counted and _weight("".join(atom)) * _most(counted) > MAX_REPEAT:
            del self.out[self.atom :]
            self.out += _repeated("".join(atom), counted, suffix)
            self.atom = -1
            return
        start = self.atom
        self.out.append(written + suffix)
        self.atom = start

    def char_class(self) -> None:
        members: list[str] = ["["]
        self.at += 1
        if self.text.startswith("^", self.at):
            members.append("^")
            self.at += 1
        first = True
        while first or not self.text.startswith("]", self.at):
            if self.at >= len(self.text):
                raise PerlRegexError("a class is not closed")
            members.append(self.member())
            first = False
        self.at += 1
        self.put("".join(members) + "]", 0)

    def member(self) -> str:
        posix = re.compile(r"\[:\^?[a-z]+:\]").match(self.text, self.at)
        if posix:
            self.at = posix.end()
            return posix[0]
        char = self.text[self.at]
        if char != "\\":
            self.at += 1
            return "\\" + char if char in "[]&~|^" else _byte(char, in_class=True)
        text = self.text[self.at :]
        kind = text[1:2]
        if kind in tuple("wWdDsS"):
            self.at += 2
            return "\\" + kind
        if kind in _IN_CLASS:
            self.at += 2
            return _IN_CLASS[kind]
        if kind == "b":
            self.at += 2
            return "\\x08"
        if kind == "E":
            self.at += 2
            return ""
        code, length = _coded(text)
        if code > 0xFF:
            raise PerlRegexError("a character above \\xFF in a class")
        self.at += length
        return _class_char(code)


def _most(counted: re.Match[str]) -> int:
    return int(counted[2] or counted[1])


def _weight(atom: str) -> int:
    """Return by how much the repetitions inside multiply, at most."""
    heaviest = [1]
    last = 1  # weight of the atom before a repetition
    for token in _PIECE.finditer(atom):
        text = token[0]
        if text[0] == "(":
            heaviest.append(1)
            last = 1
        elif text == ")" and len(heaviest) > 1:
            last = heaviest.pop()
            heaviest[-1] = max(heaviest[-1], last)
        else:
            counted = _COUNTED.fullmatch(text)
            last = last * _most(counted) if counted else 1
            heaviest[-1] = max(heaviest[-1], last)
    return heaviest[0]


def _repeated(atom: str, counted: re.Match[str], suffix: str) -> list[str]:
    """Return an atom written out, so that no repetition inside another exceeds what RE2 takes."""
    least, comma, most = int(counted[1]), "," in counted[0], counted[2]
    step = max(MAX_REPEAT // _weight(atom), 1)
    written = _in_steps(atom, least, step, "", suffix)
    if comma:
        written += _in_steps(atom, int(most) - least, step, "0,", suffix) if most else [f"{atom}*{suffix}"]
    if len(written) * len(atom) > MAX_WRITTEN:
        raise PerlRegexError(f"too many repetitions ({counted[0]})")
    return written


def _in_steps(atom: str, number: int, step: int, least: str, suffix: str) -> list[str]:
    whole, rest = divmod(number, step)
    return [f"{atom}{{{least}{step}}}{suffix}"] * whole + ([f"{atom}{{{least}{rest}}}{suffix}"] if rest else [])


def _switched(flag: str, on: str, off: str, before: bool) -> bool:
    return True if flag in on else False if flag in off else before


def _byte(char: str, *, in_class: bool = False) -> str:
    """Return one character (a byte) as it is written in an expression."""
    code = ord(char)
    if code > 0x7E or code < 0x20:
        return f"\\x{code:02X}"
    return char


def _literal(char: str) -> str:
    return char if (char.isalnum() and char.isascii()) or char in _PLAIN else _escaped(ord(char))


def _escaped(code: int) -> str:
    char = chr(code)
    return f"\\{char}" if 0x20 <= code <= 0x7E and not char.isalnum() else f"\\x{code:02X}"


def _class_char(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and char.isalnum() else _escaped(code)


def _utf8(code: int) -> str:
    if code > 0xFF:
        return "(?:" + "".join(f"\\x{byte:02X}" for byte in chr(code).encode("utf-8", "surrogatepass")) + ")"
    return chr(code) if code < 0x80 and chr(code).isalnum() else _literal(chr(code))


def _coded(text: str) -> tuple[int, int]:
    """Return the code of the escaped character that the text begins with, and how long its escape is."""
    char = text[1:2]
    if not char:
        raise PerlRegexError("it ends with a backslash")
    if char in _CONTROL:
        return _CONTROL[char], 2
    if char == "x":
        braced = re.match(r"\\x\{\s*([0-9A-Fa-f]{0,8})\s*\}", text)
        plain = re.match(r"\\x([0-9A-Fa-f]{0,2})", text)
        match = braced or plain
        assert match is not None
        code = int(match[1] or "0", 16)
        if code > 0x10FFFF:
            raise PerlRegexError("a character that does not exist")
        return code, match.end()
    if char == "c" and len(text) > 2:
        return ord(text[2].upper()) ^ 64, 3
    octal = re.match(r"\\(?:o\{([0-7]{1,7})\}|([0-7]{1,3}))", text)
    if octal:
        return int(octal[1] or octal[2], 8) & 0x1FFFFF, octal.end()
    if char in tuple("pPXGLUluo"):
        raise PerlRegexError(f"the escape \\{char}")
    return ord(char), 2
