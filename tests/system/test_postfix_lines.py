"""The lines that `init` prints are lines that Postfix reads without a complaint, and means what they should."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from filterproxy.cli.postfix_lines import LINES, Mode

pytestmark = pytest.mark.system

_DEFAULT_MASTER = "smtp inet n - n - - smtpd\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n"


def write(folder: Path, mode: Mode) -> None:
    """Put the lines where their comments say, as an administrator would; a service replaces the one of its name."""
    parts = re.split(r"^# (main|master)\.cf.*\n", LINES[mode], flags=re.MULTILINE)[1:]
    files = {"main": f"compatibility_level = 3.6\nqueue_directory = {folder}/queue\n", "master": ""}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        files[name] += text
    inbound = "smtp      inet" in files["master"]
    files["master"] = ("" if inbound else _DEFAULT_MASTER) + files["master"]
    for name, text in files.items():
        (folder / f"{name}.cf").write_text(text)


def postconf(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    result = subprocess.run(
        ["postconf", "-c", str(folder), *arguments], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("mode", Mode)
def test_postfix_reads_them_without_a_complaint(tmp_path, mode):
    write(tmp_path, mode)
    assert "smtp" in postconf(tmp_path, "-M")
    postconf(tmp_path, "-n")
    postconf(tmp_path, "-P")


def test_the_milter_lines_put_mail_off_while_the_filter_is_down(tmp_path):
    write(tmp_path, Mode.MILTER)
    value = postconf(tmp_path, "-h", "smtpd_milters")
    assert value.strip() == "{ inet:127.0.0.1:11332, connect_timeout=10s, default_action=tempfail }"
    assert postconf(tmp_path, "-hx", "non_smtpd_milters") == value


def test_the_proxy_lines_name_both_sides(tmp_path):
    write(tmp_path, Mode.PROXY)
    parameters = postconf(tmp_path, "-P")
    assert "smtp/inet/smtpd_proxy_filter = 127.0.0.1:10025\n" in parameters
    assert "127.0.0.1:10026/inet/smtpd_authorized_xforward_hosts = 127.0.0.0/8\n" in parameters
    assert "127.0.0.1:10026/inet/smtpd_recipient_restrictions = permit_mynetworks,reject\n" in parameters


def test_the_front_lines_are_no_open_relay(tmp_path):
    write(tmp_path, Mode.FRONT)
    parameters = postconf(tmp_path, "-P")
    assert "127.0.0.1:10026/inet/smtpd_authorized_xclient_hosts = 127.0.0.1\n" in parameters
    restrictions = "permit_mynetworks,permit_sasl_authenticated,reject_unauth_destination"
    assert f"127.0.0.1:10026/inet/smtpd_relay_restrictions = {restrictions}\n" in parameters


def test_the_content_filter_lines_cannot_loop(tmp_path):
    write(tmp_path, Mode.CONTENT_FILTER)
    assert postconf(tmp_path, "-h", "content_filter") == "scan:localhost:10025\n"
    parameters = postconf(tmp_path, "-P")
    assert "127.0.0.1:10026/inet/content_filter =\n" in parameters
    assert "scan/unix/smtp_send_xforward_command = yes\n" in parameters
