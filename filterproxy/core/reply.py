"""An SMTP reply: code, enhanced status code (RFC 3463) and text, safe to write to a client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of one or more lines; `lines` hold the text without code and line ends.

    `enhanced` is the enhanced status code (`5.7.1`), empty when the reply has none or carries it in its text.
    """

    code: int
    lines: tuple[str, ...]
    enhanced: str = ""

    @classmethod
    def of(cls, code: int, enhanced: str, text: str) -> Reply:
        """Return a one-line reply."""
        return cls(code, (text,), enhanced)

    @property
    def positive(self) -> bool:
        """Tell whether the command succeeded (2xx or 3xx)."""
        return self.code < 400

    def texts(self) -> list[str]:
        """Return each line's text with the enhanced code, without CR, LF or other control characters."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        return [prefix + _printable(line) for line in self.lines or ("",)]

    def __str__(self) -> str:
        """Return the whole reply as lines joined by CRLF, without the last CRLF (RFC 5321 section 4.2.1)."""
        texts = self.texts()
        return "\r\n".join(
            f"{self.code}{'-' if number < len(texts) else ' '}{text}" for number, text in enumerate(texts, 1)
        )


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char >= " " and char != "\x7f" else " " for char in text)
