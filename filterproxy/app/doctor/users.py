"""What another user may do with a file, told from its permissions without becoming that user."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

READ, WRITE, ENTER = 4, 2, 1


@dataclass(frozen=True, slots=True)
class User:
    """Whom the kernel asks about: number and groups."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, path: Path, bits: int) -> bool:
        """Tell whether the permissions of a path give this user the bits READ, WRITE, ENTER; raises OSError."""
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.gids else 0
        return self.uid == 0 or (status.st_mode >> shift) & bits == bits

    def cannot_enter(self, path: Path) -> Path | None:
        """Return the first folder above a path that is closed to this user; raises OSError."""
        return next((folder for folder in reversed(path.absolute().parents) if not self.may(folder, ENTER)), None)


def find_user(name: str) -> User | None:
    """Return a user with all groups, None when there is none of that name."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return User(name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid)))


def current_user() -> User:
    """Return who runs this process."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"#{uid}"
    return User(name, uid, frozenset((os.getegid(), *os.getgroups())))
