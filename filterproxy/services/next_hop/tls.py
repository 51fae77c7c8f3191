"""TLS towards the next hop.

The rule: `verify` means the chain and the name; `may` and `encrypt` protect from listeners only, and say so by name.
"""

from __future__ import annotations

import ssl

from filterproxy.config.endpoints import Endpoint
from filterproxy.core.errors import ConfigError

_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context for an endpoint's policy; raise ConfigError when its ca_file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "no certificate in PEM format"
        raise ConfigError(f"cannot use the ca_file {endpoint.ca_file}: {reason}") from error
    context.minimum_version = _MINIMUM[endpoint.settings.tls_minimum]
    if endpoint.tls != "verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_plain_text(error: OSError) -> bool:
    """Tell whether the handshake failed because the other side does not speak TLS there."""
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLCertVerificationError):
        return False
    return error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")


def explained(error: OSError, name: str) -> str:
    """Return for an operator why TLS did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted for {name}: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS does not come about: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return f"TLS does not come about: {error.strerror or error}"
