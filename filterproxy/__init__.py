"""A pluggable spam filter in front of a real mail server."""

__version__ = "0.1.0"
