"""`filterproxy run --demo`: the real service with everything around it that a trial needs, on loopback.

A companion process plays the rest of the world: a mail server that keeps what it gets, a name server, and senders.
"""

from filterproxy.app.demo.run import run_demo

__all__ = ["run_demo"]
