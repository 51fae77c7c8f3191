"""The machine: can the store be written, is there room, does the clock agree with the rest of the world?"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.app.doctor.users import ENTER, WRITE, User, current_user, find_user
from filterproxy.core.errors import FilterproxyError
from filterproxy.services.store.sqlite import SqliteStore

_STORE, _DISK, _CLOCK = "store", "disk", "clock"
_BUSY_SECONDS = 2.0
_FULL, _NEARLY_FULL = 100 * 2**20, 2**30  # octets that are left
_MESSAGES, _ENOUGH_MESSAGES = 200, 10
_OFF = 600.0  # seconds: mail hardly ever takes longer, and most of it is in a hurry
_NTP = "synchronise it (chrony, systemd-timesyncd; `timedatectl` shows the state): signatures and DMARC depend on it"


async def examine_store(patient: Patient) -> Sequence[Finding]:
    """Say whether history and learned state can be written, by the user that the filter becomes."""
    name = patient.loaded.settings.user
    user = find_user(name) if name and os.geteuid() == 0 else current_user()
    if user is None:
        return [Finding(_STORE, Status.PROBLEM, f"there is no user {name!r}", "create it, or leave `user:` out")]
    return await asyncio.to_thread(_store, patient.loaded.store_path.absolute(), user)


def _store(path: Path, user: User) -> list[Finding]:
    advice = f"set `store:` to a file that {user.name} may write, in a folder that is this user's"
    try:
        closed = _closed(path, user)
    except OSError as error:
        return [Finding(_STORE, Status.PROBLEM, f"cannot look at {error.filename}: {error.strerror}", advice)]
    if closed is not None:
        return [Finding(_STORE, Status.PROBLEM, f"{closed} may not be written by {user.name}", advice)]
    if not path.exists():
        return [Finding(_STORE, Status.OK, f"{path} will be made at the first start")]
    reason = _locked(path)
    if reason:
        advice = "stop what holds it, or restore a copy (docs/operations.md)"
        return [Finding(_STORE, Status.PROBLEM, f"{path} cannot be used: {reason}", advice)]
    findings = [Finding(_STORE, Status.OK, f"{path} can be written by {user.name}")]
    if user.uid == 0 and path.stat().st_uid != 0:
        advice = "set `user:`, or ask as the filter's user: sudo -u USER filterproxy doctor"
        findings.append(Finding(_STORE, Status.NOTE, "that was asked as root, who may do everything", advice))
    return findings


def _closed(path: Path, user: User) -> Path | None:
    """Return what keeps the user from writing a file, or from making it and its folder; raises OSError."""
    entrance = user.cannot_enter(path if path.parent.exists() else _existing(path))
    if entrance is not None:
        return entrance
    needed = {path: WRITE, path.parent: WRITE | ENTER} if path.exists() else {_existing(path): WRITE | ENTER}
    return next((place for place, bits in needed.items() if not user.may(place, bits)), None)


def _existing(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())


def _locked(path: Path) -> str:
    """Return why no transaction can begin, empty when one can; nothing is changed."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as error:
        return str(error)
    return ""


async def examine_disk(patient: Patient) -> Sequence[Finding]:
    """Say how much room there is for the store and for a log file."""
    log = patient.loaded.settings.log.to
    places = [patient.loaded.store_path]
    places += [] if log in ("stderr", "syslog") else [patient.loaded.base_dir / log]
    found = await asyncio.to_thread(lambda: [_room(place) for place in places])
    return list({finding.text: finding for finding in found}.values())


def _room(path: Path) -> Finding:
    folder = _existing(path.absolute())
    free = shutil.disk_usage(folder).free
    inodes = os.statvfs(folder)
    text = f"{free // 2**20} MiB free in {folder}"
    if inodes.f_files and not inodes.f_favail:
        text, free = f"no inodes free in {folder}", 0
    advice = "make room: without it history, learning and log are lost (mail still flows)"
    if free < _FULL:
        return Finding(_DISK, Status.PROBLEM, text, advice)
    return Finding(_DISK, Status.WARNING, text, advice) if free < _NEARLY_FULL else Finding(_DISK, Status.OK, text)


async def examine_clock(patient: Patient) -> Sequence[Finding]:
    """Say whether our time agrees with the Date of recent mail, which many strangers' clocks wrote."""
    installed = Path(__file__).stat().st_mtime  # noqa: ASYNC240 - the program's own file
    if patient.clock.now().timestamp() < installed - 86_400:
        return [Finding(_CLOCK, Status.PROBLEM, "the clock shows a time before this program was installed", _NTP)]
    path = patient.loaded.store_path
    if not path.exists():
        return [_no_mail()]
    store = SqliteStore(path)
    try:
        rows = await store.history(limit=_MESSAGES, action="no action")
    except FilterproxyError:
        return [_no_mail()]
    finally:
        await store.close()
    ahead = [row.time - row.message_date for row in rows if row.message_date is not None]
    return [_judge(ahead)] if len(ahead) >= _ENOUGH_MESSAGES else [_no_mail()]


def _judge(ahead: list[float]) -> Finding:
    middle = median(ahead)
    if abs(middle) <= _OFF:
        return Finding(_CLOCK, Status.OK, f"the clock agrees with the Date of the last {len(ahead)} messages")
    word = "ahead of" if middle > 0 else "behind"
    text = f"the clock is about {_duration(abs(middle))} {word} the Date of the last {len(ahead)} messages"
    return Finding(_CLOCK, Status.PROBLEM, text, _NTP)


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size * 2:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _no_mail() -> Finding:
    text = "too little mail in the history to compare the clock with"
    return Finding(_CLOCK, Status.NOTE, text, "ask again when some mail has come through")
