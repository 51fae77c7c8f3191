"""Whatever somebody writes under our keys is either taken or explained; nothing else is ever raised."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from filterproxy.config.listeners import SmtpListener
from filterproxy.config.loader import load
from filterproxy.config.models import DEFAULT_CHECKS, Settings
from filterproxy.config.show import effective, render
from filterproxy.core.check import CheckConfig
from filterproxy.core.errors import ConfigError, ConfigErrors

TYPES = dict.fromkeys((*DEFAULT_CHECKS, "dnslists"), CheckConfig)

WORDS = "tls auth provider connections nameservers to reject GTUBE x [key] type 0"
KEYS = st.sampled_from(
    [
        *Settings.model_fields,
        *SmtpListener.model_fields,
        *CheckConfig.model_fields,
        *DEFAULT_CHECKS,
        *WORDS.split(),
        "",
    ]
)
TEXTS = (
    "smtp milter http lmtp front 127.0.0.1:25 [::1]:25 unix:/x 20s 10MB reject 10.0.0.0/8 observe sqlite:x redis://x"
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from([*TEXTS.split(), "no action", "a.yml"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=20,
)
LISTENERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["smtp", "milter", "http"])},
    optional={key: VALUES for key in SmtpListener.model_fields if key != "type"},
)
CONFIGURATIONS = st.one_of(
    VALUES,
    st.dictionaries(KEYS, VALUES, max_size=6),
    st.fixed_dictionaries(
        {"listeners": st.lists(LISTENERS, max_size=3)}, optional={"checks": st.dictionaries(KEYS, VALUES, max_size=3)}
    ),
)


@settings(max_examples=300, deadline=None)
@given(CONFIGURATIONS)
def test_it_is_taken_or_explained(tmp_path_factory, data):
    path: Path = tmp_path_factory.getbasetemp() / "any.yml"
    # JSON is YAML; what YAML 1.2 writes as .inf, JSON calls Infinity, which is text to us: fine here.
    path.write_text(json.dumps(data), encoding="utf-8")
    try:
        loaded = load(path, TYPES)
    except ConfigErrors as errors:
        assert errors.errors
        for error in errors.errors:
            assert error.reason
            assert len(str(error).splitlines()) == 1
    except ConfigError as error:
        assert str(error).startswith(str(path))
    else:
        again = path.with_name("again.yml")
        again.write_text(render(loaded), encoding="utf-8")
        assert effective(load(again, TYPES)) == effective(loaded)
