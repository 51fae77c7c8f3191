"""Names for sessions, as they stand in replies, the log and the history."""

from __future__ import annotations

import secrets


def new_session_id() -> str:
    """Return a short name that no other session of this site has had lately (48 random bits, hexadecimal)."""
    return secrets.token_hex(6)
