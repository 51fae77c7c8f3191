"""A real OpenSMTPD with filter-rspamd, run from a folder: own configuration, users, queue and port on loopback.

The rule: its paths are compiled in, so it gets a view of /etc and /var that nobody else has.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Self

from tests.system.logged_server import LoggedServer
from tests.system.unpacked import library_path, private_mounts, unpacked

_VIEW = ("sh", "-e", "-c", """
for name in passwd group resolv.conf; do mount --bind "$ROOT/$name" "/etc/$name"; done
for name in spool lib run; do mount --bind "$ROOT/$name" "/var/$name"; done
exec "$@"
""", "sh")  # fmt: skip
_CONFIG = """\
filter "rspamd" proc-exec "{folder}/usr/libexec/opensmtpd/filter-rspamd -url {url}"
listen on 127.0.0.1 port {port} hostname mx.example.net filter "rspamd"
action "sink" relay host "smtp://127.0.0.1:{next_hop}"
match from any for domain "example.net" action "sink"
"""
_USERS = {
    "passwd": "opensmtpd:x:4242:4242::/var/lib/opensmtpd/empty:/bin/false\n"
    "opensmtpq:x:4243:4243::/var/lib/opensmtpd/empty:/bin/false\n",
    "group": "opensmtpd:x:4242:\nopensmtpq:x:4243:\n",
}


class OpenSmtpd(LoggedServer):
    """Takes mail for example.net on `port`, asks rspamd at `url` about it, relays it to the port `next_hop`."""

    def __init__(self, root: Path, url: str, next_hop: int) -> None:
        super().__init__(root)
        fetched = unpacked(Path(sys.prefix) / "opensmtpd", "opensmtpd", "opensmtpd-filter-rspamd")
        # Its filter runs as a user who may not be let into the folder of this project.
        self._folder = shutil.copytree(fetched, root / "debian", symlinks=True)
        for name in ("spool/smtpd", "lib/opensmtpd/empty", "run"):
            (root / name).mkdir(parents=True)
        for path in (root / "spool", *(root / "spool").rglob("*"), *(root / "lib").rglob("*")):
            os.chown(path, 0, 0)  # not the group of the folder above
            path.chmod(0o711)
        for name, lines in _USERS.items():
            (root / name).write_text(Path("/etc", name).read_text() + lines)
        (root / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        text = _CONFIG.format(folder=self._folder, url=url, port=self.port, next_hop=next_hop)
        (root / "smtpd.conf").write_text(text)

    def __enter__(self) -> Self:
        program = [self._folder / "usr/sbin/smtpd", "-d", "-v", "-f", self.root / "smtpd.conf"]
        environment = {"LD_LIBRARY_PATH": library_path(self._folder), "ROOT": str(self.root)}
        self.start([*private_mounts(self.root), *_VIEW, *program], environment)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
