"""What a mail message holds: bytes to parts, parsed once, lazily, bounded."""


class Message: ...
