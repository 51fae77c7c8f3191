"""Every file of tests/dialogs/smtp is one conversation with the SMTP listener and a scripted next hop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dialogs.smtp_dialog import play

DIALOGS = sorted((Path(__file__).parent / "smtp").glob("*.txt"))


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_dialog(path):
    await play(path)


def test_the_dialogs_are_there():
    assert len(DIALOGS) >= 30
