"""A real Postfix of our own: own configuration, queue, log and ports on loopback; the machine's Postfix is not touched.

The rule: nothing leaves this machine. Mail for USERS at DOMAIN goes into Maildirs, all other mail is refused or fails.
Used by the system tests and by benchmarks/throughput.py.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.system.waiting import answers, free_port, wait_until

DOMAIN = "example.net"
USERS = ("alice", "bob")
HOSTNAME = "mta.example.net"
DAEMONS = Path("/usr/lib/postfix/sbin")
_MASTER = DAEMONS / "master"
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")
_NOBODY = 65534

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log/maillog
maillog_file_prefixes = {root}
daemon_directory = {daemons}
myhostname = {hostname}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
default_transport = error:5.1.2 mail to other places is switched off here
relay_transport = error:5.1.2 mail to other places is switched off here
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_tls_security_level = none
notify_classes =
biff = no
"""
_MASTER_CF = """\
127.0.0.1:{port} inet n - n - {smtpd_limit} smtpd{smtpd_options}
127.0.0.1:{reinject_port} inet n - n - - smtpd
  -o syslog_name=postfix/reinject
  -o content_filter=
  -o smtpd_proxy_filter=
  -o smtpd_milters=
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_client_restrictions=
  -o smtpd_helo_restrictions=
  -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o smtpd_data_restrictions=
  -o mynetworks=127.0.0.0/8
  -o receive_override_options={reinject_overrides}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
scan unix - - n - 10 smtp
  -o smtp_send_xforward_command=yes
  -o disable_mime_output_conversion=yes
  -o smtp_generic_maps=
"""


def missing() -> str:
    """Return why Postfix cannot be started here, an empty string when it can."""
    if os.geteuid() != 0:
        return "Postfix needs root to start: run as root (or in a container)"
    packages = [] if _MASTER.exists() else ["postfix"]
    packages += [] if shutil.which("swaks") else ["swaks"]
    return f"not installed: apt-get install {' '.join(packages)}" if packages else ""


class Postfix:
    """One instance below `root`, a folder that the user `postfix` can reach.

    `milters` are as Postfix writes them (`inet:127.0.0.1:11332`, `unix:/path`), `proxy_filter` and `content_filter` are
    `host:port`; `settings` are more lines of main.cf, `services` of master.cf. The port for mail is `port`, the one
    behind a filter `reinject_port`.
    """

    def __init__(
        self,
        root: Path,
        *,
        milters: Sequence[str] = (),
        proxy_filter: str = "",
        content_filter: str = "",
        settings: Mapping[str, str] | None = None,
        smtpd_limit: int | str = "-",
        users: Sequence[str] = USERS,
        services: str = "",
    ) -> None:
        root.mkdir(mode=0o755, exist_ok=True)
        self.root = root
        self.config = root / "etc"
        self.port = free_port()
        self.reinject_port = free_port()
        self._users = users
        self._services = services
        self._milters = milters
        self._proxy_filter = proxy_filter
        self._content_filter = content_filter
        self._settings = dict(settings or {})
        self._smtpd_limit = smtpd_limit
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the master."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> Self:
        """Write the configuration, start the master, return when both ports answer."""
        self._make_folders()
        self.configure()
        self._process = subprocess.Popen(
            [_MASTER, "-c", self.config, "-d"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in (self.port, self.reinject_port):
            wait_until(lambda port=port: answers(port), f"Postfix listens on {port}", state=self.log)
        return self

    def stop(self) -> None:
        """Stop master and all its daemons."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            # The daemons share the master's session; those that missed its signal go now.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def configure(self) -> None:
        """Write main.cf and master.cf."""
        main = _MAIN_CF.format(
            root=self.root,
            daemons=DAEMONS,
            hostname=HOSTNAME,
            domain=DOMAIN,
            mailboxes=", ".join(f"{user}@{DOMAIN}={user}/" for user in self._users),
            uid=_NOBODY,
        )
        overrides = "no_unknown_recipient_checks"
        settings = dict(self._settings)
        if self._milters:
            listed = ", ".join(
                f"{{ {milter}, connect_timeout=10s, default_action=tempfail }}" for milter in self._milters
            )
            settings |= {"smtpd_milters": listed, "non_smtpd_milters": "$smtpd_milters", "milter_protocol": "6"}
        if self._content_filter:
            settings |= {"content_filter": f"scan:[{self._content_filter.replace(':', ']:')}"}
            settings |= {"receive_override_options": "no_address_mappings"}
            overrides += ",no_header_body_checks,no_milters"
        _write_settled(self.config / "main.cf", _with_settings(main, settings))
        options = f"\n  -o smtpd_proxy_filter={self._proxy_filter}" if self._proxy_filter else ""
        master = _MASTER_CF.format(
            port=self.port,
            reinject_port=self.reinject_port,
            smtpd_limit=self._smtpd_limit,
            smtpd_options=options,
            reinject_overrides=overrides,
        )
        _write_settled(self.config / "master.cf", master + self._services)

    def log(self) -> str:
        """Return the mail log so far."""
        path = self.root / "log" / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for_log(self, text: str, count: int = 1, deadline: float = 20.0) -> str:
        """Return the log once it holds the text that often."""
        wait_until(lambda: self.log().count(text) >= count, f"{text!r} in the mail log", deadline, self.log)
        return self.log()

    def maildir(self, user: str) -> list[Path]:
        """Return the messages delivered to a user, oldest first."""
        folder = self.root / "mail" / user / "new"
        return (
            sorted(folder.glob("*"), key=lambda path: (path.stat().st_mtime_ns, path.name)) if folder.exists() else []
        )

    def wait_for_delivery(self, count: int = 1, user: str = USERS[0], deadline: float = 20.0) -> list[bytes]:
        """Return a user's messages once there are that many; raise NotInTimeError with the log otherwise."""
        wait_until(lambda: len(self.maildir(user)) >= count, f"{count} messages for {user}", deadline, self.log)
        return [path.read_bytes() for path in self.maildir(user)]

    def wait_for_message(self, marker: bytes, user: str = USERS[0], deadline: float = 20.0) -> bytes:
        """Return a user's message that contains the octets, once it is there."""

        def found() -> bytes:
            return next((raw for path in self.maildir(user) if marker in (raw := path.read_bytes())), b"")

        return wait_until(found, f"a message with {marker!r} for {user}", deadline, self.log)

    def queued(self, queue: str) -> list[Path]:
        """Return the files of a queue (`hold`, `deferred`, …)."""
        return [path for path in (self.root / "queue" / queue).rglob("*") if path.is_file()]

    def sendmail(self, message: bytes, *recipients: str, sender: str) -> None:
        """Submit a message as local users do, through pickup."""
        command = ["/usr/sbin/sendmail", "-C", str(self.config), "-i", "-f", sender, *recipients]
        subprocess.run(command, input=message, check=True, timeout=30)

    def _make_folders(self) -> None:
        postfix, postdrop = pwd.getpwnam("postfix"), grp.getgrnam("postdrop").gr_gid
        for name in ("etc", "log", "queue", "queue/pid"):
            (self.root / name).mkdir(exist_ok=True)
        for name in ("data", *(f"queue/{queue}" for queue in _QUEUES)):
            _make(self.root / name, 0o700, postfix.pw_uid, postfix.pw_gid)
        _make(self.root / "queue/maildrop", 0o1730, postfix.pw_uid, postdrop)
        _make(self.root / "queue/public", 0o2710, postfix.pw_uid, postdrop)
        _make(self.root / "mail", 0o700, _NOBODY, _NOBODY)


def _make(folder: Path, mode: int, uid: int, gid: int) -> None:
    folder.mkdir(exist_ok=True)
    os.chown(folder, uid, gid)
    folder.chmod(mode)


def _with_settings(main: str, settings: Mapping[str, str]) -> str:
    """Return main.cf with settings in place of its own lines of those names.

    Not a line twice: each daemon warns of it, and a few warnings more than the log's socket holds (10 by default) make
    postlogd wait for itself for ever when it starts last, and with it all the others.
    """
    lines = dict(line.split(" = ", 1) if " = " in line else (line.split(" =")[0], "") for line in main.splitlines())
    return "".join(f"{key} = {value}\n" for key, value in {**lines, **settings}.items())


def _write_settled(path: Path, text: str) -> None:
    """Write a file that looks a minute old: Postfix waits seconds before it reads one that may still be changing."""
    path.write_text(text)
    minute_ago = path.stat().st_mtime - 60
    os.utime(path, (minute_ago, minute_ago))


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder that all users can reach, unlike pytest's; socket files made in it belong to Postfix's group."""
    folder = Path(tempfile.mkdtemp(prefix="filterproxy-test-"))
    folder.chmod(0o755)
    if not missing():
        os.chown(folder, 0, grp.getgrnam("postfix").gr_gid)
        folder.chmod(0o2755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
