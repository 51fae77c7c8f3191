"""DKIM signatures and ARC chains: dkimpy reads tags and judges chains, hashing and keys are ours.

What dkimpy leaves open (RFC 8301's floors, key restrictions, `l=`, quadratic expressions, exceptions on odd mail) is
closed here; its result is a word of RFC 8601 and a reason, never an exception.
"""

from filterproxy.services.signatures.arc import ArcResult, sealed_results, verify_arc
from filterproxy.services.signatures.result import SignatureResult
from filterproxy.services.signatures.sealing import Sealer, load_key
from filterproxy.services.signatures.verify import verify_dkim

__all__ = ["ArcResult", "Sealer", "SignatureResult", "load_key", "sealed_results", "verify_arc", "verify_dkim"]
