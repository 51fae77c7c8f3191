"""The password file of a listener: lines `user:argon2-hash`, as `doveadm pw -s ARGON2ID` or `argon2` make the hash.

The rule: a wrong user takes as long as a wrong password, and nothing of either is ever logged.
"""

from __future__ import annotations

import os
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from filterproxy.core.errors import ConfigError

_PREFIXES = ("{ARGON2ID}", "{ARGON2I}", "{ARGON2}")
_MOST_BYTES = 16_000_000


class PasswordFile:
    """Users and the hashes of their passwords; a changed file is read again at the next check."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hasher = PasswordHasher()
        # What the password of a user who does not exist is compared with.
        self._decoy = self._hasher.hash(os.urandom(16))
        self._state = self._stat()
        self._hashes = self._read()

    def reload(self) -> None:
        """Read the file again when it has changed; raise ConfigError and keep what is known when it is unusable."""
        state = self._stat()
        if state != self._state:
            self._hashes = self._read()
            self._state = state

    def verify(self, user: str, password: str) -> bool:
        """Tell whether the password is the user's. Takes tens of milliseconds by design: call it in a thread."""
        known = self._hashes.get(user)
        try:
            return self._hasher.verify(known or self._decoy, password) and known is not None
        except (VerificationError, InvalidHashError):
            return False

    def _stat(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise ConfigError(error.strerror or str(error), file=str(self._path), key="auth.file") from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open("rb") as file:
                lines = file.read(_MOST_BYTES).decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot be read: {error}", file=str(self._path), key="auth.file") from error
        pairs = (self._pair(line.strip(), number) for number, line in enumerate(lines, 1))
        return dict(pair for pair in pairs if pair is not None)

    def _pair(self, line: str, number: int) -> tuple[str, str] | None:
        if not line or line.startswith("#"):
            return None
        user, _, rest = line.partition(":")
        # Dovecot's passwd-file has more fields after the hash; a hash holds no colon.
        known = rest.partition(":")[0].strip()
        for prefix in _PREFIXES:
            known = known.removeprefix(prefix)
        try:
            self._hasher.check_needs_rehash(known)
        except InvalidHashError:
            raise ConfigError(
                "no argon2 hash here",
                file=str(self._path), line=number, key="auth.file",
                hint="write user:$argon2id$…, as `doveadm pw -s ARGON2ID` makes it",
            ) from None  # fmt: skip
        if not user:
            raise ConfigError("no user name before the colon", file=str(self._path), line=number, key="auth.file")
        return user, known
