"""A request's body: read up to a limit and in time, and decompressed up to the same limit.

The rule: no client decides how much memory it takes: neither by a length, nor by leaving it out, nor by zstd.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import zstandard
from starlette.requests import ClientDisconnect, Request

from filterproxy.protocols.rspamd_http import RefusedRequestError

# A block of zstd holds at most 128 KiB and may be 4 octets long (RFC 8878 section 3.1.1.2): one step yields 16 MiB.
_STEP = 512
# How long a client whose request is refused may go on sending it, in seconds.
_LINGER = 5.0
# What every decoder should support (RFC 8878 section 3.1.1.1.2).
_WINDOW = 8 * 1024 * 1024


async def read_body(request: Request, limit: int, timeout: float) -> bytes:
    """Return the body as it came; raise RefusedRequestError when it is larger than the limit or too slow."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:19]) > limit:
        await discard_body(request)
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    break
    except TimeoutError:
        raise RefusedRequestError(408, "no complete request in time") from None
    except ClientDisconnect:
        raise RefusedRequestError(400, "the client went away") from None
    if len(body) > limit:
        await discard_body(request)
        raise _too_large(limit)
    return bytes(body)


async def discard_body(request: Request) -> None:
    """Read what the client still sends, for a while: one that is cut off while it sends never sees the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while (await request.receive()).get("more_body"):
                pass


def decompress(body: bytes, method: str, limit: int) -> bytes:
    """Return the body without its compression; raise RefusedRequestError when it is not what it says or too large."""
    if method in ("", "identity"):
        return body
    if method != "zstd":
        raise RefusedRequestError(415, "the body may be compressed with zstd only")
    engine = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
    plain = bytearray()
    try:
        for start in range(0, len(body), _STEP):
            if engine.eof:
                break
            plain += engine.decompress(body[start : start + _STEP])
            if len(plain) > limit:
                raise _too_large(limit)
    except zstandard.ZstdError as error:
        raise RefusedRequestError(400, "the body is no zstd data, or needs a window above 8 MiB") from error
    if not engine.eof:
        raise RefusedRequestError(400, "the zstd data ends too early")
    return bytes(plain)


def _too_large(limit: int) -> RefusedRequestError:
    return RefusedRequestError(413, f"the message is larger than {limit} octets")
