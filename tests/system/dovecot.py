"""A real Dovecot of our own with the scripts of examples/dovecot: own configuration, mail, log and port on loopback.

The rule: the files are those of examples/dovecot; only the folders they name are replaced by ones of this test.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.system.waiting import answers, free_port, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples" / "dovecot"
_COMMAND = Path("/usr/sbin/dovecot")
_NOBODY = 65534
_USER = "alice@example.net"

_CONF = """\
protocols = imap
listen = 127.0.0.1
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log/dovecot
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_home = {root}/mail/%u
default_vsz_limit = 0
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Junk {{
    auto = create
  }}
  mailbox Trash {{
    auto = create
  }}
  mailbox Archive {{
    auto = create
  }}
}}
!include {root}/conf.d/*.conf
"""
# Stands in for sudo, which would start the learner as the filter's user: keeps arguments and message in the spool.
_SUDO = """\
#!/bin/sh
name=$(mktemp {spool}/.new.XXXXXX)
echo "$*" > "$name"
cat >> "$name"
mv "$name" "{spool}/$(basename "$name" | cut -c 6-)"
"""
_WRAPPER = '#!/bin/sh\nPATH={root}/bin:$PATH FILTERPROXY_CONFIG={root}/filterproxy.yml exec {root}/learn "$@"\n'


def missing() -> str:
    """Return what this test lacks, empty when it can run."""
    if not (_COMMAND.exists() and Path("/usr/bin/sievec").exists()):
        return "dovecot-imapd and dovecot-sieve are not installed (tests/debian-packages.txt)"
    return "" if os.geteuid() == 0 else "Dovecot needs root to be started"


class Dovecot:
    """A Dovecot in the folder `root`, with one user; what is learned goes to `learned`."""

    def __init__(self, root: Path) -> None:
        self.root, self.port, self.spool = root, free_port(), root / "spool"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("log", "mail", "run", "state", "conf.d", "sieve", "pipe", "bin", "spool"):
            (root / name).mkdir(parents=True)
        for folder in (self.spool, root / "mail"):
            folder.chmod(0o777)
        (root / "dovecot.conf").write_text(_CONF.format(root=root, port=self.port, nobody=_NOBODY))
        example = (EXAMPLES / "90-filterproxy.conf").read_text()
        example = example.replace("/etc/dovecot/sieve", f"{root}/sieve")
        (root / "conf.d" / "90-filterproxy.conf").write_text(example.replace("/usr/local/lib/dovecot", f"{root}/pipe"))
        for script in EXAMPLES.glob("*.sieve"):
            shutil.copy(script, root / "sieve")
        shutil.copy(EXAMPLES / "filterproxy-learn", root / "learn")
        self.pipe = root / "pipe" / "filterproxy-learn"
        self._program(self.pipe, _WRAPPER.format(root=root))
        self._program(root / "bin" / "sudo", _SUDO.format(spool=self.spool))

    def __enter__(self) -> Self:
        environment = {"PATH": os.environ["PATH"]}
        sieve = ["sievec", "-c", f"{self.root}/dovecot.conf", f"{self.root}/sieve"]
        subprocess.run(sieve, env=environment, check=True, capture_output=True, timeout=30)
        command = [_COMMAND, "-F", "-c", f"{self.root}/dovecot.conf"]
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        wait_until(lambda: answers(self.port), "Dovecot answers", state=self.log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    @contextlib.contextmanager
    def session(self) -> Iterator[imaplib.IMAP4]:
        """Give a session of the user."""
        imap = imaplib.IMAP4("127.0.0.1", self.port, timeout=60)
        imap.login(_USER, "x")
        try:
            yield imap
        finally:
            imap.logout()

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        """Return (arguments, message) of everything that was to be learned, once there is as much."""
        wait_until(lambda: len(self._learned()) >= count, f"{count} learned", state=self.log)
        return [(words.decode(), raw) for words, _, raw in (f.read_bytes().partition(b"\n") for f in self._learned())]

    def pipe_into(self, script: str) -> None:
        """Let the sieve scripts call another program than the example's."""
        self._program(self.pipe, script)

    def log(self) -> str:
        """Return Dovecot's log so far."""
        file = self.root / "log" / "dovecot"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_for_log(self, text: str, deadline: float = 60.0) -> None:
        """Return once the log holds the text."""
        wait_until(lambda: text in self.log(), f"{text!r} in Dovecot's log", deadline, self.log)

    def _learned(self) -> list[Path]:
        files = [file for file in self.spool.iterdir() if not file.name.startswith(".")]
        return sorted(files, key=lambda file: file.stat().st_mtime_ns)

    @staticmethod
    def _program(file: Path, text: str) -> None:
        file.write_text(text)
        file.chmod(0o755)
