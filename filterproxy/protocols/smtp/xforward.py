"""XFORWARD and XCLIENT: the real client as an MTA tells it, and xtext (RFC 3461 section 4), their encoding.

The rule: what arrives is decoded, checked and freed of control characters once, here; what leaves is encoded again.
An attribute that is `[UNAVAILABLE]` is an empty text; one that was not told is absent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.replies import Refused

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
CLIENT_ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
_LINE_LIMIT = 512 - 2
_UNAVAILABLE = "[UNAVAILABLE]"
_UNKNOWN = {_UNAVAILABLE, "[TEMPUNAVAIL]"}
_MAX_VALUE = 255
_ESCAPE = re.compile(rb"\+([0-9A-F]{2})")
_BROKEN_ESCAPE = re.compile(rb"\+(?![0-9A-F]{2})")
_TO_ESCAPE = re.compile(rb"[^!-*,-<>-~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def decode_xtext(octets: bytes) -> str:
    """Return the text with `+XX` undone; raise ValueError for a broken escape."""
    if _BROKEN_ESCAPE.search(octets):
        raise ValueError("broken xtext")
    decoded = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), octets)
    return decoded.decode("utf-8", "surrogateescape")


def encode_xtext(text: str) -> bytes:
    """Return the text as xtext: `+`, `=`, blanks and all that is not printable ASCII as `+XX`."""
    return _TO_ESCAPE.sub(lambda match: b"+%02X" % match[0][0], text.encode("utf-8", "surrogateescape"))


def parse_xforward(argument: bytes) -> dict[str, str]:
    """Return the attributes of one XFORWARD command by name; raise Refused when one is wrong."""
    return _parse("XFORWARD", argument, ATTRIBUTES)


def parse_xclient(argument: bytes) -> dict[str, str]:
    """Return the attributes of one XCLIENT command by name; raise Refused when one is wrong."""
    return _parse("XCLIENT", argument, CLIENT_ATTRIBUTES)


def _parse(verb: str, argument: bytes, names: Collection[str]) -> dict[str, str]:
    words = argument.split()
    if not words:
        raise Refused(Reply.of(501, "5.5.4", f"Syntax: {verb} attribute=value"))
    attributes: dict[str, str] = {}
    for word in words:
        name, equals, octets = word.partition(b"=")
        key = name.decode("ascii", "replace").upper()
        if key not in names or not equals:
            raise Refused(Reply.of(501, "5.5.4", f"Bad {verb} attribute: {key[:32]}"))
        attributes[key] = _value(verb, key, octets)
    return attributes


def _value(verb: str, key: str, octets: bytes) -> str:
    try:
        text = decode_xtext(octets)
        if text.upper() in _UNKNOWN or (key == "NAME" and text == "unknown"):
            return ""
        return _checked(key, text)
    except ValueError:
        raise Refused(Reply.of(501, "5.5.4", f"Bad {verb} {key} value")) from None


def _checked(key: str, text: str) -> str:
    if not text or len(text) > _MAX_VALUE:
        raise ValueError("empty or too long")
    if key in {"ADDR", "DESTADDR"}:
        return _ip_address(text)
    if key in {"PORT", "DESTPORT"}:
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
            raise ValueError("no port")
        return str(int(text))
    if key == "SOURCE" and text.upper() not in {"LOCAL", "REMOTE"}:
        raise ValueError("neither LOCAL nor REMOTE")
    return _CONTROL.sub("?", text)


def _ip_address(text: str) -> str:
    if text[:5].upper() == "IPV6:":
        return str(ipaddress.IPv6Address(text[5:]))
    return str(ipaddress.ip_address(text))


def xforward_commands(attributes: Mapping[str, str], offered: Collection[str]) -> list[bytes]:
    """Return the XFORWARD commands, without line ends, that tell a next hop the attributes it offered to take."""
    return _commands(b"XFORWARD", ATTRIBUTES, attributes, offered)


def xclient_commands(attributes: Mapping[str, str], offered: Collection[str]) -> list[bytes]:
    """Return the XCLIENT commands, without line ends, for the attributes that the next hop offered to take.

    Of several commands the last has the address: from then on the next hop takes us for the client, who may send none.
    """
    commands = _commands(b"XCLIENT", CLIENT_ATTRIBUTES, attributes, offered)
    if len(commands) < 2:
        return commands
    return _commands(b"XCLIENT", sorted(CLIENT_ATTRIBUTES, key=lambda name: name == "ADDR"), attributes, offered)


def _commands(
    verb: bytes, names: Iterable[str], attributes: Mapping[str, str], offered: Collection[str]
) -> list[bytes]:
    commands: list[bytes] = []
    line = verb
    for name in names:
        if name not in attributes or name not in offered:
            continue
        word = b" " + name.encode("ascii") + b"=" + _encoded(name, attributes[name])
        if len(line) + len(word) > _LINE_LIMIT:
            commands.append(line)
            line = verb
        line += word
    return [*commands, line] if line != verb else commands


def _encoded(name: str, value: str) -> bytes:
    if not value:
        return _UNAVAILABLE.encode("ascii")
    encoded = encode_xtext(f"IPV6:{value}" if name in ("ADDR", "DESTADDR") and ":" in value else value)
    # A value of many escapes fits into no command; half of it would be a lie.
    return encoded if len(encoded) <= _LINE_LIMIT - len("XFORWARD SOURCE=") else _UNAVAILABLE.encode("ascii")
