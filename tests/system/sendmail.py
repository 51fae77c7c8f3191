"""A real sendmail of our own, run from a folder into which its packages are unpacked (tests/unpacked-packages).

The rule: nothing leaves this machine. It takes mail on loopback, asks a milter, and relays everything to a port there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.system.unpacked import unpacked
from tests.system.waiting import answers, free_port, wait_until

_UNPACKED = Path(sys.prefix) / "sendmail"

# A daemon whose machine's name is not qualified sleeps for a minute first, so it gets a name of its own.
_NAMED = ("unshare", "--uts", "sh", "-c", 'hostname mta.example.net && exec "$@"', "sh")

_MC = """\
divert(0)dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mta.example.net')dnl
define(`QUEUE_DIR', `{root}/queue')dnl
define(`confPID_FILE', `{root}/pid')dnl
define(`STATUS_FILE', `{root}/status')dnl
define(`HELP_FILE', `{root}/help')dnl
undefine(`ALIAS_FILE')dnl
define(`confSERVICE_SWITCH_FILE', `{root}/switch')dnl
define(`confDEF_USER_ID', `65534:65534')dnl
define(`confTO_IDENT', `0')dnl
define(`confTO_CONNECT', `10s')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,TrustStickyBit')dnl
define(`confSMTP_LOGIN_MSG', `$j sendmail')dnl
define(`confREFUSE_LA', `9999')dnl
define(`confQUEUE_LA', `9999')dnl
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {next_hop}')dnl
FEATURE(`nocanonify')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Port={port}, Addr=127.0.0.1, Name=MTA')dnl
INPUT_MAIL_FILTER(`filterproxy', `S={milter}, F=T, T=C:10s;S:10s;R:{read_timeout};E:5m')dnl
MAILER(`smtp')dnl
"""


class Sendmail:
    """One daemon below `root`; `milter` is as sendmail writes it (`inet:port@host`, `unix:/path`)."""

    def __init__(self, root: Path, *, milter: str, next_hop: int, read_timeout: str = "30s") -> None:
        root.mkdir(mode=0o755)
        self.root = root
        self.port = free_port()
        self._folder = unpacked(_UNPACKED, "sendmail-bin", "sendmail-cf", "m4")
        self._mc = _MC.format(root=root, port=self.port, milter=milter, next_hop=next_hop, read_timeout=read_timeout)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Build the configuration with m4, start the daemon, return when its port answers."""
        (self.root / "queue").mkdir(mode=0o700)
        (self.root / "switch").write_text("hosts files\n")
        macros = self._folder / "usr/share/sendmail/cf"
        built = subprocess.run(
            [self._folder / "usr/bin/m4", f"-D_CF_DIR_={macros}/", macros / "m4/cf.m4", "-"],
            input=self._mc,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        configuration = self.root / "sendmail.cf"
        configuration.write_text(built.stdout)
        libraries = ":".join(str(path) for path in (self._folder / "usr/lib").glob("*-linux-gnu"))
        with (self.root / "stderr").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *_NAMED,
                    self._folder / "usr/libexec/sendmail/sendmail",
                    "-bD",
                    "-C",
                    configuration,
                    "-X",
                    self.root / "traffic",
                ],
                env={**os.environ, "LD_LIBRARY_PATH": libraries},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_until(lambda: answers(self.port), f"sendmail listens on {self.port}", state=self.log)
        return self

    def stop(self) -> None:
        """Stop the daemon and its children."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def held(self) -> list[Path]:
        """Return the control files of quarantined messages."""
        return list((self.root / "queue").glob("hf*"))

    def log(self) -> str:
        """Return what it printed and every SMTP line so far."""
        files = (self.root / "stderr", self.root / "traffic")
        return "".join(path.read_text(errors="replace") for path in files if path.exists())
