"""The store of commands that only look: it has nothing and keeps nothing, so that they need no permissions."""

from __future__ import annotations


class EmptyStore:
    """A core.ports.Store without memory."""

    async def get(self, namespace: str, key: str) -> bytes | None:
        """Return None."""
        return None

    async def put(self, namespace: str, key: str, value: bytes, ttl: float | None = None) -> None:
        """Forget the value."""
