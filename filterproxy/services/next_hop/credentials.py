"""Passwords and access tokens: read when they are needed, kept in memory only, never in a text that anybody sees.

The rule: a file that others may read is refused, and what a token command prints goes nowhere but into the token.
"""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from filterproxy.config.endpoints import Endpoint
from filterproxy.core.errors import ConfigError, NextHopError

_MAX_SECRET = 65_536
# A token that ends this soon is not worth a try.
_MARGIN = 60.0


class Secrets(Protocol):
    """Where an endpoint's password or token comes from."""

    async def get(self) -> str:
        """Return the secret; raise NextHopError (stage auth)."""

    def refused(self) -> bool:
        """Note that the secret did not do; tell whether a fresh one may be had."""


def secrets_of(endpoint: Endpoint) -> Secrets | None:
    """Return where the secret of an endpoint comes from, None when it has no credentials."""
    if endpoint.token_command:
        return TokenCommand(endpoint)
    return SecretFile(endpoint.secret_file) if endpoint.secret_file is not None else None


def read_secret(path: Path) -> str:
    """Return the first line of a file; raise ConfigError when it cannot be read, is empty, or is open to others."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
                raise ConfigError(f"{path} may be read or changed by others (mode {mode:o})", hint=f"chmod 640 {path}")
            secret = file.readline(_MAX_SECRET).rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    if not secret:
        raise ConfigError(f"{path} is empty: its first line must be the password or token")
    return secret


@dataclass(slots=True)
class SecretFile:
    """A file somebody else writes; it is read for each new connection, so a change needs no reload."""

    path: Path
    _last: str = field(default="", repr=False)

    async def get(self) -> str:
        """Return what the file holds now."""
        try:
            self._last = await asyncio.to_thread(read_secret, self.path)
        except ConfigError as error:
            raise NextHopError(error.reason, stage="auth", permanent=True) from error
        return self._last

    def refused(self) -> bool:
        """Tell whether the file has changed meanwhile."""
        with suppress(ConfigError):
            return read_secret(self.path) != self._last
        return False


class TokenCommand:
    """A command that prints an OAuth 2 access token; its answer is kept until it expires or is refused."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._command = endpoint.token_command
        self._lifetime = endpoint.settings.token_lifetime
        self._timeout = endpoint.settings.token_timeout
        self._token = ""
        self._ends = 0.0
        self._running: asyncio.Task[None] | None = None

    async def get(self) -> str:
        """Return the token, from the command when there is none or it ends soon; sessions share one run."""
        if not self._token or asyncio.get_running_loop().time() >= self._ends:
            if self._running is None:
                self._running = asyncio.create_task(self._run(), name="token command")
                self._running.add_done_callback(self._done)
            await asyncio.shield(self._running)
        return self._token

    def refused(self) -> bool:
        """Forget the token: the next `get` asks the command."""
        self._token = ""
        return True

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # whoever waited has got it

    async def _run(self) -> None:
        output = await self._output()
        try:
            token, lifetime = parse_token(output, self._lifetime)
        except ValueError as error:
            raise NextHopError(f"token_command: {error}", stage="auth") from None
        self._token = token
        self._ends = asyncio.get_running_loop().time() + max(lifetime - _MARGIN, 0.0)

    async def _output(self) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            reason = f"cannot run the token_command {self._command[0]}: {error.strerror or error}"
            raise NextHopError(reason, stage="auth", permanent=True) from error
        try:
            async with asyncio.timeout(self._timeout):
                output, _ = await process.communicate()
        except TimeoutError:
            raise NextHopError(f"token_command takes longer than {self._timeout:g} s", stage="auth") from None
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            # What it printed may hold a secret: it is not repeated.
            raise NextHopError(f"token_command ended with status {process.returncode}", stage="auth")
        return output


def parse_token(output: bytes, lifetime: float) -> tuple[str, float]:
    """Return the token in a command's output and for how many seconds it is good; raise ValueError without the output.

    The output is one line, or JSON with `access_token` and `expires_in` as RFC 6749 section 5.1 has it.
    """
    text = output[:_MAX_SECRET].decode("utf-8", "replace").strip()
    if text.startswith("{"):
        try:
            answer = json.loads(text)
            token, lifetime = str(answer["access_token"]), float(answer.get("expires_in", lifetime))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError("prints JSON without a usable access_token and expires_in") from None
    else:
        token = text.partition("\n")[0].strip()
    if not token:
        raise ValueError("prints no token")
    return token, lifetime
