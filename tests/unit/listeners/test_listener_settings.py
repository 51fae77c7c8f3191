"""New settings of a listener: sessions that begin after the commit have them, those under way keep theirs."""

from __future__ import annotations

import pytest

from filterproxy.config.listeners import MilterLimits, ServerTls, SmtpLimits
from filterproxy.core.errors import ConfigError
from tests.dialogs.milter_dialog import DEADLINE, start_milter
from tests.dialogs.scripted_pipeline import ScriptedPipeline
from tests.dialogs.smtp_peers import proxy


async def test_smtp_sessions_keep_what_they_began_with() -> None:
    async with proxy() as running:
        listener, old_shared = running.listener, running.listener._shared
        old = await running.client()
        changed = old_shared.config.model_copy(update={"limits": SmtpLimits(message_size=20)})
        commit = await listener.prepare(changed, old_shared.context)
        before = await running.client()
        commit()
        new = await running.client()
        long = b"Subject: more than twenty octets\r\n.\r\n"
        assert (await old.message(long)).startswith("250 ")
        assert (await before.message(long)).startswith("250 ")
        assert (await new.message(long)).startswith("552 ")
        # All of them are counted, and the old next hop is given back with its last session.
        assert len(listener._shared.sessions) == 3
        assert old_shared.sessions is listener._shared.sessions
        for client in (old, before, new):
            assert (await client.say("QUIT")).startswith("221 ")
            await client.close()


async def test_smtp_settings_that_cannot_be_used_change_nothing() -> None:
    async with proxy() as running:
        shared = running.listener._shared
        broken = shared.config.model_copy(update={"tls": ServerTls(cert="gone.pem")})
        with pytest.raises(ConfigError, match="no such file"):
            await running.listener.prepare(broken, shared.context)
        assert running.listener._shared is shared


async def test_smtp_settings_that_did_not_change_stay() -> None:
    async with proxy() as running:
        shared = running.listener._shared
        (await running.listener.prepare(shared.config.model_copy(), shared.context))()
        assert running.listener._shared is shared


async def test_milter_connections_keep_what_they_began_with() -> None:
    listener, context, _ = await start_milter(ScriptedPipeline())
    first = listener._session()
    changed = listener._shared.config.model_copy(update={"limits": MilterLimits(message_size=20)})
    commit = await listener.prepare(changed, context)
    commit()
    assert first._config.limits.message_size == MilterLimits().message_size
    assert listener._session()._config.limits.message_size == 20
    await listener.drain(DEADLINE)


async def test_header_fields_of_a_milter_name_symbols_as_the_listener_says() -> None:
    listener, context, _ = await start_milter(ScriptedPipeline())
    assert listener._session()._delivery().compat is None
    changed = listener._shared.config.model_copy(update={"compat": "spamassassin"})
    (await listener.prepare(changed, context))()
    assert listener._session()._delivery().compat == "spamassassin"
    await listener.drain(DEADLINE)
