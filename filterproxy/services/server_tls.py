"""TLS as a listener speaks it: one context from a certificate and a key, read again on a reload.

The rule: a broken pair of files never replaces a working one.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from filterproxy.config.listeners import ServerTls as TlsConfig
from filterproxy.core.errors import ConfigError

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class ServerTls:
    """The server's side of TLS; raises ConfigError when certificate and key cannot be used."""

    def __init__(self, config: TlsConfig, base_dir: Path) -> None:
        self.config = config
        self._cert = base_dir / config.cert
        self._key = base_dir / config.key if config.key else None
        self.context = self._new_context()

    def reload(self) -> None:
        """Use the files as they are now, for connections from now on; raise ConfigError and change nothing."""
        self._new_context()
        self._load_into(self.context)

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self.config.minimum]
        # RFC 8996 and RFC 7525: no compression, no renegotiation that a client could start again and again.
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        self._load_into(context)
        return context

    def _load_into(self, context: ssl.SSLContext) -> None:
        for path, key in ((self._cert, "tls.cert"), (self._key, "tls.key")):
            if path is not None and not os.access(path, os.R_OK):
                reason = "cannot be read" if path.exists() else "no such file"
                raise ConfigError(reason, file=str(path), key=key)
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"not usable for TLS: {_reason(error)}", file=str(self._cert), key="tls.cert") from error


def _no_password() -> str:
    """Refuse keys with a password: OpenSSL would ask for it on a terminal that nobody sits at."""
    raise OSError("the key is protected by a password; store it without one, readable by the filter's user only")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM certificate and key in it"
    return error.strerror or str(error)
