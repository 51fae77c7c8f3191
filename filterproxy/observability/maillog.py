"""Every line an operator reads, one method per event, in Postfix's spelling: `4Xyz: scan: action=reject score=15.2 …`.

The rule: text that came from outside passes `observability.escape` and is cut; bodies and passwords never get here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from filterproxy.core.ports import Log
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.observability.escape import address, escape, listed, value
from filterproxy.observability.sinks import FileSink, Level, Sink, StderrSink, SyslogSink, Writer

_RECIPIENTS_SHOWN = 10
_SYMBOLS_SHOWN = 60
_OPTIONS_SHOWN = 4
_TEXT_LIMIT = 500


def open_maillog(to: str, base_dir: Path = Path()) -> MailLog:
    """Return the log that goes to `stderr`, `syslog` or a file (relative to `base_dir`); raise OSError."""
    if to == "stderr":
        return MailLog(StderrSink())
    return MailLog(SyslogSink() if to == "syslog" else FileSink(base_dir / to))


class MailLog:
    """The log. Every method returns at once and never raises."""

    def __init__(self, sink: Sink) -> None:
        self._writer = Writer(sink)

    def scan(
        self,
        *,
        session: str,
        listener: str,
        queue_id: str = "",
        client: str = "",
        client_name: str = "",
        helo: str = "",
        user: str = "",
        mail_from: str | None = "",
        rcpt_to: Sequence[str] = (),
        message_id: str = "",
        size: int = 0,
        action: str,
        score: float,
        required_score: float,
        reply: str = "",
        seconds: float = 0.0,
        symbols: Sequence[ScoredSymbol] = (),
        note: str = "",
        autolearn: str = "",
    ) -> None:
        """Log one scanned message; `action` is what was done here, `note` what else decided (observe, forced by …)."""
        parts = [
            f"{_id(queue_id or session)}: scan: action={value(action.replace(' ', '_'))}",
            f"score={_number(score)} required={_number(required_score)}",
            f"from={address(mail_from)} to={_addresses(rcpt_to)} nrcpt={len(rcpt_to)}",
            f"client={_client(client, client_name)} helo={address(helo)}",
            f"message-id={_message_id(message_id)} size={size}",
            f"listener={value(listener)} session={_id(session)} delay={seconds:.3f}",
            f"reply={value(reply)}" if reply else "",
            f"sasl_username={value(user)}" if user else "",
            f"note={value(note)}" if note else "",
            f"autolearn={value(autolearn)}" if autolearn not in ("", "no") else "",
            f"symbols={_symbols(symbols)}",
        ]
        self._info(" ".join(part for part in parts if part))

    def connect(self, session_id: str, listener: str, client: str, client_name: str = "") -> None:
        """Log a new session."""
        self._info(f"{_id(session_id)}: connect: listener={value(listener)} client={_client(client, client_name)}")

    def disconnect(self, session_id: str, listener: str, *, messages: int = 0, seconds: float = 0.0) -> None:
        """Log the end of a session."""
        self._info(f"{_id(session_id)}: disconnect: listener={value(listener)} messages={messages} delay={seconds:.3f}")

    def auth(self, session_id: str, *, mechanism: str, user: str, client: str, reply: str) -> None:
        """Log how an attempt to authenticate ended."""
        self._info(
            f"{_id(session_id)}: auth: sasl_method={value(mechanism)} sasl_username={value(user)} "
            f"client={_client(client, '')} reply={value(reply)}"
        )

    def session_error(self, session_id: str, reason: str) -> None:
        """Log that the peer broke the protocol, or that the session ended early."""
        self._info(f"{_id(session_id)}: session error: reason={value(reason)}")

    def relay(self, session_id: str, *, next_hop: str, reply: str, queue_id: str = "", seconds: float = 0.0) -> None:
        """Log what the next hop answered to a message."""
        self._info(
            f"{_id(queue_id or session_id)}: relay: relay={value(next_hop)} delay={seconds:.3f} reply={value(reply)}"
        )

    def next_hop_error(self, session_id: str, *, stage: str, reason: str, next_hop: str = "") -> None:
        """Log that the next hop could not be reached or broke the dialogue at a stage."""
        relay = f" relay={value(next_hop)}" if next_hop else ""
        self._warn(f"{_id(session_id)}: next hop:{relay} stage={value(stage)} reason={value(reason)}")

    def check_failed(self, check: str, reason: str, *, queue_id: str = "") -> None:
        """Log that a check could not answer."""
        about = f"{_id(queue_id)}: " if queue_id else ""
        self._warn(f"{about}check failed: check={value(check)} reason={value(reason)}")

    def internal_error(self, where: str, error: BaseException) -> None:
        """Log a bug of ours with the place it was raised at; its message may hold untrusted text."""
        self._writer.put(
            Level.ERROR, f"error: {escape(where, 80)}: {type(error).__name__}{_raised_at(error)}: {_text(str(error))}"
        )

    def warning(self, area: str, text: str) -> None:
        """Log something an operator should act on."""
        self._warn(f"{escape(area, 80)}: {_text(text)}")

    def info(self, area: str, text: str) -> None:
        """Log something worth knowing."""
        self._info(f"{escape(area, 80)}: {_text(text)}")

    def for_check(self, name: str) -> Log:
        """Return the log a check gets."""
        return CheckLog(self, name)

    @property
    def dropped(self) -> int:
        """Return how many lines were lost because the destination was slow or broken."""
        return self._writer.dropped

    def on_lost(self, count: Callable[[int], None]) -> None:
        """Have lost lines counted; the function is called from any thread."""
        self._writer.on_lost = count

    def reopen(self) -> None:
        """Open the log file again (after rotation)."""
        self._writer.reopen()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every line so far is written; return False when that took longer than `timeout` seconds."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued and close the destination."""
        self._writer.close(timeout)

    def _info(self, line: str) -> None:
        self._writer.put(Level.INFO, line)

    def _warn(self, line: str) -> None:
        self._writer.put(Level.WARNING, f"warning: {line}")


class CheckLog:
    """A check's part of the log (core.ports.Log)."""

    def __init__(self, maillog: MailLog, name: str) -> None:
        self._maillog = maillog
        self._area = f"check {name}"

    def warning(self, message: str, *args: object) -> None:
        """Log something an operator should act on."""
        self._maillog.warning(self._area, _formatted(message, args))

    def info(self, message: str, *args: object) -> None:
        """Log something worth knowing."""
        self._maillog.info(self._area, _formatted(message, args))


def _formatted(message: str, args: tuple[object, ...]) -> str:
    if not args:
        return message
    try:
        return message % args
    except (TypeError, ValueError):
        return f"{message} {args!r}"


def _number(score: float) -> str:
    return f"{score:.2f}".rstrip("0").rstrip(".")


def _id(identifier: str) -> str:
    return listed(identifier, 64) or "NOQUEUE"


def _text(text: str) -> str:
    return escape(text, _TEXT_LIMIT)


def _client(client: str, name: str) -> str:
    return f"{listed(name, 255) or 'unknown'}[{listed(client, 64) or 'unknown'}]"


def _message_id(message_id: str) -> str:
    return address(message_id.strip().removeprefix("<").removesuffix(">"), 256)


def _addresses(addresses: Sequence[str]) -> str:
    shown = ",".join(address(recipient) for recipient in addresses[:_RECIPIENTS_SHOWN])
    more = len(addresses) - _RECIPIENTS_SHOWN
    return (shown or "<>") + (f",+{more}" if more > 0 else "")


def _symbols(symbols: Sequence[ScoredSymbol]) -> str:
    # The ones that decided come first, so that a cut loses the least.
    ordered = sorted(symbols, key=lambda symbol: (-abs(symbol.score), symbol.name))
    shown = ",".join(_symbol(symbol) for symbol in ordered[:_SYMBOLS_SHOWN])
    more = len(symbols) - _SYMBOLS_SHOWN
    return shown + (f",+{more}" if more > 0 else "")


def _symbol(symbol: ScoredSymbol) -> str:
    options = ";".join(listed(option, 80) for option in symbol.options[:_OPTIONS_SHOWN])
    return f"{listed(symbol.name, 64)}({_number(symbol.score)})" + (f"{{{options}}}" if options else "")


def _raised_at(error: BaseException) -> str:
    traceback = error.__traceback__
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    return f" at {Path(code.co_filename).name}:{traceback.tb_lineno} in {code.co_name}"
