"""The way to the next hop: which server (`next_hop`), how to get there (`hop`), and the dialogue (`connection`)."""

from filterproxy.services.next_hop.connection import NextHopConnection
from filterproxy.services.next_hop.next_hop import NextHop

__all__ = ["NextHop", "NextHopConnection"]
