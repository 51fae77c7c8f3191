"""The machine: can the store be written, is there room, does the clock agree with the rest of the world?"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.core.errors import FilterproxyError
from filterproxy.services.store.sqlite import SqliteStore

_STORE, _DISK, _CLOCK = "store", "disk", "clock"
_BUSY_SECONDS = 2.0
_FULL, _NEARLY_FULL = 100 * 2**20, 2**30  # octets that are left
_MESSAGES, _ENOUGH_MESSAGES = 200, 10
_OFF = 600.0  # seconds: mail hardly ever takes longer, and most of it is in a hurry
_NTP = "synchronise it (chrony, systemd-timesyncd; `timedatectl` shows the state): signatures and DMARC depend on it"


async def examine_store(patient: Patient) -> Sequence[Finding]:
    """Say whether history and learned state can be written."""
    return await asyncio.to_thread(lambda: list(_store(patient.loaded.store_path)))


def _store(path: Path) -> Iterator[Finding]:
    advice = "set `store:` to a file that the filter's user may write, and make its folder"
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if os.access(folder, os.W_OK | os.X_OK):
            yield Finding(_STORE, Status.OK, f"{path} will be made at the first start")
        else:
            yield Finding(_STORE, Status.PROBLEM, f"{path} cannot be made: {folder} may not be written", advice)
        return
    unwritable = [place for place in (path, path.parent) if not os.access(place, os.W_OK)]
    if unwritable:
        yield Finding(_STORE, Status.PROBLEM, f"{unwritable[0]} may not be written by {_me()}", advice)
        return
    reason = _locked(path)
    if reason:
        advice = "stop what holds it, or restore a copy (docs/operations.md)"
        yield Finding(_STORE, Status.PROBLEM, f"{path} cannot be used: {reason}", advice)
        return
    yield Finding(_STORE, Status.OK, f"{path} can be written")
    if os.geteuid() == 0 and path.stat().st_uid != 0:
        text = "asked as root, who may do everything"
        yield Finding(_STORE, Status.NOTE, text, f"to be sure: sudo -u {_name(path.stat().st_uid)} filterproxy doctor")


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


def _me() -> str:
    return _name(os.geteuid())


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


async def examine_disk(patient: Patient) -> Sequence[Finding]:
    """Say how much room there is for the store and for a log file."""
    log = patient.loaded.settings.log.to
    places = [patient.loaded.store_path]
    places += [] if log in ("stderr", "syslog") else [patient.loaded.base_dir / log]
    found = await asyncio.to_thread(lambda: [_room(place) for place in places])
    return list({finding.text: finding for finding in found}.values())


def _room(path: Path) -> Finding:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
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
