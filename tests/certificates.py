"""Certificates made for one test: a certificate authority, and a server's certificate and key as files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """An authority and the files of a server that it vouches for."""

    authority: trustme.CA
    cert: Path
    key: Path
    ca_file: Path

    def client_context(self) -> ssl.SSLContext:
        """Return what a client that trusts the authority uses."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


def make_certificates(folder: Path, *names: str, authority: trustme.CA | None = None) -> Certificates:
    """Write certificate, key and authority into the folder, for these host names or addresses."""
    authority = authority or trustme.CA()
    issued = authority.issue_cert(*(names or ("127.0.0.1", "localhost", "mx.example.org")))
    folder.mkdir(parents=True, exist_ok=True)
    found = Certificates(authority, folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    found.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(found.key)
    authority.cert_pem.write_to_path(found.ca_file)
    return found
