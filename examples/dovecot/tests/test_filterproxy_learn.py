"""The script that IMAPSieve pipes messages into, with the programs it calls replaced by ones that write down how."""

import os
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with `sudo` and `logger` that append their arguments and input to files of their names + `.log`."""
    for name in ("sudo", "logger"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/{name}.log\n[ {name} = logger ] && exit 0\n'
            f'cat >> {tmp_path}/message\necho complaint >&2\nexit "${{STATUS:-0}}"\n'
        )
        program.chmod(0o755)
    return tmp_path


def learn(programs: Path, *arguments: str, status: int = 0) -> int:
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "STATUS": str(status)}
    command = [str(FOLDER / "filterproxy-learn"), *arguments]
    return subprocess.run(command, input=b"Subject: x\n\nhi\n", env=environment, check=False).returncode


@pytest.mark.parametrize("judge", ["spam", "ham"])
def test_it_learns_the_message_on_standard_input(programs: Path, judge: str) -> None:
    assert learn(programs, judge) == 0
    called = (programs / "sudo.log").read_text()
    assert called == f"-n -u filterproxy filterproxy learn {judge} -c /etc/filterproxy/filterproxy.yml -\n"
    assert (programs / "message").read_bytes() == b"Subject: x\n\nhi\n"
    assert not (programs / "logger.log").exists()


def test_it_learns_for_a_recipient(programs: Path) -> None:
    assert learn(programs, "ham", "a b@example.org") == 0
    assert (
        " learn ham -c /etc/filterproxy/filterproxy.yml --recipient a b@example.org -\n"
        in (programs / "sudo.log").read_text()
    )


def test_a_failure_is_logged_and_fails_no_move(programs: Path) -> None:
    assert learn(programs, "spam", status=75) == 0
    assert "spam: complaint" in (programs / "logger.log").read_text()


def test_anything_else_is_refused(programs: Path) -> None:
    assert learn(programs, "trash") == 64
    assert learn(programs) == 64
    assert not (programs / "sudo.log").exists()


def test_junk_to_trash_is_never_ham() -> None:
    script = (FOLDER / "learn-ham.sieve").read_text()
    stop, pipe = script.index("stop;"), script.index('pipe :copy "filterproxy-learn" [ "ham" ]')
    assert stop < pipe
    for name in ("Trash", "Deleted", "Papierkorb", "Cestino", "Junk", "Spam"):
        assert f'"{name}' in script[:stop]
