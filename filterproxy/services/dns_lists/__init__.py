"""DNS lists (RFC 5782): how they are described, what is looked up in them, and whether they may be believed."""

from filterproxy.services.dns_lists.definition import CodeConfig, ListConfig, Query
from filterproxy.services.dns_lists.dns_list import DnsList, ListState, Trouble
from filterproxy.services.dns_lists.files import load_definitions
from filterproxy.services.dns_lists.keys import KeyConfig, read_keys
from filterproxy.services.dns_lists.subjects import Subjects

__all__ = [
    "CodeConfig",
    "DnsList",
    "KeyConfig",
    "ListConfig",
    "ListState",
    "Query",
    "Subjects",
    "Trouble",
    "load_definitions",
    "read_keys",
]
