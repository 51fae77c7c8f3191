"""The milter protocol, versions 2 to 6, without I/O: frames, commands, replies, options and the state table.

The rule: bytes in, typed commands out, and the other way round; nothing here knows what a message is.
"""
