"""Every reply this side of the dialogue gives in its own name, in one place, and the error that carries one.

The rule: a fault of ours is 4xx and says nothing about us; only the client's own mistakes are 5xx.
"""

from __future__ import annotations

from filterproxy.core.errors import RemoteProtocolError
from filterproxy.core.reply import Reply

# The one code after which the other side closes the connection (RFC 5321 section 3.8).
CLOSING = 421

OK = Reply.of(250, "2.0.0", "Ok")
BYE = Reply.of(221, "2.0.0", "Bye")
START_MAIL_INPUT = Reply(354, ("End data with <CR><LF>.<CR><LF>",))
READY_FOR_TLS = Reply.of(220, "2.0.0", "Ready to start TLS")
AUTHENTICATED = Reply.of(235, "2.7.0", "Authentication successful")
HELP = Reply.of(214, "2.0.0", "Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP")
CANNOT_VERIFY = Reply.of(252, "2.0.0", "Cannot verify, send some mail and see")

NOT_RECOGNIZED = Reply.of(500, "5.5.2", "Command not recognized")
NOT_AVAILABLE = Reply.of(502, "5.5.1", "Command not available")
LINE_TOO_LONG = Reply.of(500, "5.5.2", "Line too long")
BARE_NEWLINE_IN_COMMAND = Reply.of(500, "5.5.2", "Bare <CR> or <LF> received, lines end with <CR><LF>")
NUL_IN_COMMAND = Reply.of(500, "5.5.2", "NUL received")
NO_ARGUMENT = Reply.of(501, "5.5.4", "This command takes no argument")
BAD_HELLO = Reply.of(501, "5.5.4", "Syntax: EHLO hostname")
BAD_VRFY = Reply.of(501, "5.5.4", "Syntax: VRFY address")
BAD_MAIL = Reply.of(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
BAD_RCPT = Reply.of(501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]")
BAD_SENDER = Reply.of(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT = Reply.of(501, "5.1.3", "Bad recipient address syntax")
HELLO_FIRST = Reply.of(503, "5.5.1", "Send EHLO first")
NESTED_MAIL = Reply.of(503, "5.5.1", "Nested MAIL command")
NEED_MAIL = Reply.of(503, "5.5.1", "Need MAIL command")
NEED_RCPT = Reply.of(503, "5.5.1", "Need RCPT command")
NO_VALID_RECIPIENTS = Reply.of(554, "5.5.1", "No valid recipients")
LHLO_FIRST = Reply.of(503, "5.5.1", "Send LHLO first")
LHLO_WANTED = Reply.of(500, "5.5.1", "This is LMTP, use LHLO")
CHUNKS_UNDER_WAY = Reply.of(503, "5.5.1", "The message goes on with BDAT")
BAD_BDAT = Reply.of(501, "5.5.4", "Syntax: BDAT size [LAST]")
BAD_AUTH = Reply.of(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
BAD_BASE64 = Reply.of(501, "5.5.2", "Cannot decode the response")
AUTH_CANCELLED = Reply.of(501, "5.7.0", "Authentication cancelled")
AUTHENTICATED_ALREADY = Reply.of(503, "5.5.1", "Already authenticated")
UNKNOWN_MECHANISM = Reply.of(504, "5.5.4", "Unrecognized authentication mechanism")
AUTHENTICATION_FIRST = Reply.of(530, "5.7.0", "Authentication required")
ENCRYPTION_FIRST = Reply.of(530, "5.7.0", "Must issue a STARTTLS command first")
ENCRYPTION_FOR_AUTH = Reply.of(538, "5.7.11", "Encryption required for the requested authentication mechanism")
BAD_CREDENTIALS = Reply.of(535, "5.7.8", "Authentication credentials invalid")
AUTH_UNAVAILABLE = Reply.of(454, "4.7.0", "Temporary authentication failure")
TLS_UNAVAILABLE = Reply.of(454, "4.7.0", "TLS not available due to temporary reason")
RELAY_DENIED = Reply.of(554, "5.7.1", "Relay access denied")
UNAUTHORISED_PIPELINING = Reply.of(554, "5.5.0", "Commands sent without waiting for the reply")
TOO_MANY_RECIPIENTS = Reply.of(452, "4.5.3", "Too many recipients")
ONE_RECIPIENT = Reply.of(452, "4.5.3", "One recipient at a time, please send to this one again")
ANOTHER_NEXT_HOP = Reply.of(452, "4.5.3", "This recipient needs a transaction of its own, please send again")
NO_INTERNATIONAL_ADDRESSES = Reply.of(553, "5.6.7", "Internationalized addresses are not supported here")

INSUFFICIENT_STORAGE = Reply.of(452, "4.3.1", "Insufficient system storage")
TOO_LARGE = Reply.of(552, "5.3.4", "Message size exceeds the limit")
BODY_LINE_TOO_LONG = Reply.of(500, "5.6.0", "A line of the message is too long")
BARE_NEWLINE_IN_MESSAGE = Reply.of(550, "5.5.2", "Bare <CR> or <LF> received, lines end with <CR><LF>")
TOO_MANY_HOPS = Reply.of(554, "5.4.6", "Too many hops, the message runs in a circle")
NUL_IN_MESSAGE = Reply.of(550, "5.6.0", "NUL in the message")

TEMPORARY_FAILURE = Reply.of(451, "4.3.0", "Temporary failure, please try again later")
UNAVAILABLE = Reply.of(CLOSING, "4.3.0", "Temporary failure, please try again later")
TOO_MANY_CONNECTIONS = Reply.of(CLOSING, "4.3.2", "Too many connections, please try again later")
SHUTTING_DOWN = Reply.of(CLOSING, "4.3.2", "Service shutting down, please try again later")
TIMED_OUT = Reply.of(CLOSING, "4.4.2", "Time-out, closing the connection")
TOO_MANY_ERRORS = Reply.of(CLOSING, "4.7.0", "Too many errors")


def bad_parameter(text: str) -> Reply:
    """Return the reply to a parameter with a wrong value."""
    return Reply.of(501, "5.5.4", f"Bad parameter: {text}")


def unknown_parameter(text: str) -> Reply:
    """Return the reply to a parameter that nobody here knows (RFC 5321 section 4.1.1.11)."""
    return Reply.of(555, "5.5.4", f"Unsupported parameter: {text}")


def not_from_you(verb: str) -> Reply:
    """Return the reply to a command that only hosts in trusted_networks may use."""
    return Reply.of(550, "5.7.0", f"{verb} is not allowed from this client")


def not_in_a_transaction(verb: str) -> Reply:
    """Return the reply to a command that comes too late."""
    return Reply.of(503, "5.5.1", f"{verb} is not allowed inside a mail transaction")


def temporary(reply: Reply) -> Reply:
    """Return a permanent refusal as a temporary one, for a client that would turn it into a bounce."""
    if reply.code < 500:
        return reply
    code = 452 if reply.code == TOO_LARGE.code else 451
    return Reply(code, reply.lines, f"4{reply.enhanced[1:]}" if reply.enhanced else "")


class Refused(RemoteProtocolError):
    """The client broke the protocol: `reply` says so to it, and with `close` the dialogue is over."""

    def __init__(self, reply: Reply, *, close: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.close = close
