"""The listeners' certificates: can they be used, and for how long still?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.config.listeners import ServerTls as TlsConfig
from filterproxy.config.listeners import SmtpService
from filterproxy.core.errors import ConfigError
from filterproxy.services.server_tls import ServerTls

_AREA = "certificates"
_SOON = timedelta(days=14)
_RENEW = "renew it, then reload the filter (SIGHUP): it reads the files again"


async def examine_certificates(patient: Patient) -> Sequence[Finding]:
    """Say for each certificate of a listener whether clients will take it."""
    loaded, now = patient.loaded, patient.clock.now()
    used = {item.tls.cert: item.tls for item in loaded.settings.listeners if isinstance(item, SmtpService) and item.tls}
    return await asyncio.gather(*(asyncio.to_thread(_examine, tls, loaded.base_dir, now) for tls in used.values()))


def _examine(config: TlsConfig, base_dir: Path, now: datetime) -> Finding:
    try:
        ServerTls(config, base_dir)
    except ConfigError as error:
        return Finding(_AREA, Status.PROBLEM, str(error), "the filter does not start so: mend or renew the files")
    path = base_dir / config.cert
    certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return Finding(_AREA, Status.PROBLEM, f"{path} has expired on {end:%Y-%m-%d}", _RENEW)
    if now < begin:
        text = f"{path} is not valid before {begin:%Y-%m-%d %H:%M} UTC"
        return Finding(_AREA, Status.PROBLEM, text, "is the clock right? else wait until then, or renew it")
    text = f"{path} is valid until {end:%Y-%m-%d}"
    return Finding(_AREA, Status.WARNING, text, _RENEW) if end - now < _SOON else Finding(_AREA, Status.OK, text)
