"""From root to the filter's own user, after the ports are bound and before any mail is read.

The rule: there is no way back; what cannot be given up ends the start.
"""

from __future__ import annotations

import grp
import os
import pwd
import sys
from pathlib import Path

import filterproxy
from filterproxy.app.errors import StartError


def drop_privileges(user: str, group: str) -> None:
    """Become that user and group (its own when empty); an empty user changes nothing. Raises StartError."""
    if not user:
        return
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise StartError(f"user: there is no user {user!r}; create it, or leave the key out", temporary=False) from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else account.pw_gid
    except KeyError:
        raise StartError(f"group: there is no group {group!r}", temporary=False) from None
    if os.geteuid() == account.pw_uid:
        return
    if os.geteuid() != 0:
        raise StartError(f"user: only root can become {user!r}; start as root, or leave the key out", temporary=False)
    os.initgroups(account.pw_name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    _require_readable(user)
    os.environ.update({"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name})


def _require_readable(user: str) -> None:
    """Raise StartError when the user cannot read the program: what is loaded later would be missing."""
    for folder in (Path(filterproxy.__file__).parent, Path(sys.prefix)):
        if not os.access(folder, os.R_OK | os.X_OK):
            raise StartError(
                f"user: {user!r} cannot read {folder}; install the program where that user can read it",
                temporary=False,
            )
