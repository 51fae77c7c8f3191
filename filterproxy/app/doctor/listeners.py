"""The listeners: does somebody answer there, and can Postfix reach a milter's socket file?"""

from __future__ import annotations

import asyncio
import grp
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from filterproxy.app.doctor.finding import Finding, Patient, Status, System
from filterproxy.app.doctor.users import ENTER, READ, WRITE, User, find_user
from filterproxy.config.addresses import SocketAddress
from filterproxy.config.listeners import MilterListener, PolicyListener

_AREA = "listeners"
_TIMEOUT = 2.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_LONGEST_FILE = 1_000_000


async def examine_listeners(patient: Patient) -> Sequence[Finding]:
    """Say whether the filter runs, and whether Postfix may connect to its milter sockets."""
    listeners = patient.loaded.settings.listeners
    if not listeners:
        advice = 'name one: listeners: [{type: milter, address: "127.0.0.1:11332"}]'
        return [Finding(_AREA, Status.PROBLEM, "there is nothing to listen on", advice)]
    reasons = await asyncio.gather(*(_reach(item.address) for item in listeners))
    names = [f"{item.type} {item.address}" for item in listeners]
    findings = list(_running(dict(zip(names, reasons, strict=True))))
    for listener in listeners:
        if isinstance(listener, MilterListener | PolicyListener) and listener.address.path:
            path = (patient.loaded.base_dir / listener.address.path).absolute()
            setting = "smtpd_milters =" if isinstance(listener, MilterListener) else "check_policy_service"
            findings += await asyncio.to_thread(_postfix_socket, path, patient.system, setting)
    return findings


def _running(reasons: dict[str, str]) -> Iterator[Finding]:
    dead = {name: reason for name, reason in reasons.items() if reason}
    if len(dead) == len(reasons):
        text = "the filter is not running: nobody answers at its listeners"
        yield Finding(_AREA, Status.NOTE, text, "start it: systemctl start filterproxy, or `filterproxy run`")
        return
    for name in reasons:
        if name in dead:
            advice = "restart the filter: listeners are opened at its start only; its log says what went wrong"
            yield Finding(_AREA, Status.PROBLEM, f"{name}: {dead[name]}, while others answer", advice)
        else:
            yield Finding(_AREA, Status.OK, f"{name} answers")


async def _reach(address: SocketAddress) -> str:
    """Return why nobody can be reached there, empty when somebody can."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            if address.path:
                _, writer = await asyncio.open_unix_connection(address.path)
            else:
                host = _LOOPBACK.get(address.host, address.host)
                _, writer = await asyncio.open_connection(host, address.port)
    except TimeoutError:
        return "no answer in time"
    except OSError as error:
        return (os.strerror(error.errno) if error.errno else str(error)).lower()
    writer.close()
    return ""


def _postfix_socket(path: Path, system: System, setting: str) -> list[Finding]:
    """Say what keeps Postfix from a socket file; nothing when there is no Postfix here."""
    user = find_user(system.postfix_user)
    if user is None:
        return []
    if not path.parent.is_dir():
        return [Finding(_AREA, Status.PROBLEM, f"{path.parent} does not exist", f"make the folder for {path.name}")]
    return [*_permissions(path, user), *_chroot(path, system, setting)]


def _permissions(path: Path, user: User) -> Iterator[Finding]:
    try:
        closed = user.cannot_enter(path)
        if closed is not None:
            text = f"{user.name} may not enter {closed}, so Postfix cannot reach {path}"
            yield Finding(_AREA, Status.PROBLEM, text, _join_group(user, closed))
        elif not path.exists():
            return
        elif not stat.S_ISSOCK(path.stat().st_mode):
            yield Finding(_AREA, Status.PROBLEM, f"{path} is no socket", "move it away: the filter does not remove it")
        elif not user.may(path, READ | WRITE):
            text = f"{user.name} may not write to {path}, so Postfix cannot use it"
            yield Finding(_AREA, Status.PROBLEM, text, _join_group(user, path))
        else:
            yield Finding(_AREA, Status.OK, f"{user.name} may use {path}")
    except PermissionError as error:
        text = f"cannot look at {error.filename}: permission denied"
        yield Finding(_AREA, Status.NOTE, text, "run doctor as root to have the socket's permissions looked at")


def _join_group(user: User, path: Path) -> str:
    status = path.stat()
    needed = ENTER if path.is_dir() else READ | WRITE
    if (status.st_mode >> 3) & needed != needed or status.st_gid == 0:
        return f"give a group of {user.name} that right on {path}"
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"run: adduser {user.name} {group}; then restart Postfix"


def _chroot(path: Path, system: System, setting: str) -> Iterator[Finding]:
    """Say when Postfix's smtpd is locked into its queue folder and the socket is elsewhere."""
    main, master = (_read(system.postfix_config / name) for name in ("main.cf", "master.cf"))
    if not master:
        return
    queue = _setting(main, "queue_directory") or "/var/spool/postfix"
    inside = path.is_relative_to(queue)
    chrooted = re.search(r"^\S+\s+inet\s+\S+\s+\S+\s+y\s+\S+\s+\S+\s+smtpd\b", master, re.MULTILINE)
    if chrooted and not inside:
        text = f"Postfix's smtpd is locked into {queue} (chroot in master.cf) and cannot see {path}"
        place = f"filterproxy/{path.name}"
        advice = f"let the filter listen on unix:{queue}/{place} and write {setting} unix:{place} in main.cf"
        yield Finding(_AREA, Status.PROBLEM, text, advice)
        return
    known = f"unix:{path}" in main + master or (inside and f"unix:{path.relative_to(queue)}" in main + master)
    if not known:
        name = path.relative_to(queue) if inside and chrooted else path
        advice = f"write {setting} unix:{name} in main.cf: docs/postfix.md"
        yield Finding(_AREA, Status.NOTE, f"Postfix's configuration does not name {path}", advice)


def _read(path: Path) -> str:
    """Return a configuration file of Postfix without comments, its continued lines joined; empty when unreadable."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = [line for line in file.read(_LONGEST_FILE).splitlines() if not line.lstrip().startswith("#")]
    except OSError:
        return ""
    return re.sub(r"\n[ \t]+", " ", "\n".join(lines))


def _setting(main: str, name: str) -> str:
    found = re.findall(rf"^{name}\s*=\s*(\S+)\s*$", main, re.MULTILINE)
    return found[-1] if found else ""
