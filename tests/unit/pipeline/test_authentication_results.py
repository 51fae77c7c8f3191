"""Authentication-Results: written strictly, and recognised however it is disguised."""

from __future__ import annotations

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.authentication import MethodResult
from filterproxy.pipeline.authentication_results import authentication_results_value, carries_authserv_id


def test_one_result_a_line():
    value = authentication_results_value(
        "mx.example.org",
        [
            MethodResult("spf", "fail", (("smtp.mailfrom", "a@example.net"),), 'the policy "says" no'),
            MethodResult("dkim", "pass", (("header.d", "example.net"), ("header.s", ""))),
        ],
    )
    assert value == (
        "mx.example.org;\n\t"
        'spf=fail reason="the policy \\"says\\" no" smtp.mailfrom=a@example.net;\n\t'
        "dkim=pass header.d=example.net"
    )


def test_what_is_no_token_is_quoted_and_long_results_are_folded():
    value = authentication_results_value(
        "mx.example.org",
        [
            MethodResult(
                "dkim",
                "fail",
                (("header.d", "d" * 60), ("header.i", "@example.net"), ("header.b", "ab/+c="), ("header.s", "a\r\nb")),
                "x" * 500,
            )
        ],
    )
    lines = value.split("\n")
    assert 'header.b="ab/+c="' in value and "header.i=@example.net" in value and 'header.s="a??b"' in value
    assert max(map(len, lines)) < 300
    assert all(line.startswith("\t") for line in lines[1:])


def test_international_domains_are_written_in_their_ascii_form():
    results = [
        MethodResult("spf", "pass", (("smtp.mailfrom", "a@bücher.example"),)),
        MethodResult("spf", "pass", (("smtp.mailfrom", "ü@bücher.example"),)),
        MethodResult("spf", "none", (("smtp.helo", "b\xfc\udcffcher\u202e.example"),)),
    ]
    value = authentication_results_value("mx.example.org", results)
    assert "smtp.mailfrom=a@xn--bcher-kva.example;" in value
    assert 'smtp.mailfrom="?@xn--bcher-kva.example";' in value
    assert value.isascii()


def test_nothing_checked_is_none():
    assert authentication_results_value("mx.example.org", []) == "mx.example.org; none"


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_value_is_read_back_by_a_strict_parser_as_one_result(value, reason):
    written = authentication_results_value(
        "mx.example.org", [MethodResult("spf", "fail", (("smtp.mailfrom", value),), reason)]
    )
    parsed = authres.AuthenticationResultsHeader.parse_value(written.replace("\n\t", " "))
    assert [(result.method, result.result) for result in parsed.results] == [("spf", "fail")]


@pytest.mark.parametrize(
    "value",
    [
        b" mx.example.org; spf=pass",
        b"MX.Example.ORG ; spf=pass",
        b"\r\n\tmx.example.org 1; spf=pass",
        b" (a comment) mx.example.org; spf=pass",
        b" (nested (deep) \\) comment) mx.example.org; none",
        b' "mx.example.org"; spf=pass',
        b' "mx.example\\.org"; spf=pass',
        b" mx.example.org.; spf=pass",
        b" mx.example.org(comment); spf=pass",
        b" (never closed mx.other.org",
        b' "never closed',
        b" mx.(comment)example.org; spf=pass",
        b" mx. example.org; spf=pass",
        b" mx.\r\n example.org 1; spf=pass",
        b" \0mx.example.org; spf=pass",
        b" mx.example\0.org\x0b; spf=pass",
        b" mx.example.org\\; spf=pass",
        b' "mx".example."org" 1 ; none',
        b" =?utf-8?q?mx=2Eexample=2Eorg?=; spf=pass",
        b" =?us-ascii?b?bXguZXhhbXBsZS5vcmc=?= 1; spf=pass",
        b" mx.example.org",
        b";",
        " mx\uff0eexample\u3002org; spf=pass".encode(),
        " mx.example.org; spf=pass",
        b"",
    ],
)
def test_what_names_us_or_cannot_be_read_is_ours(value):
    assert carries_authserv_id(value, "mx.example.org")


@pytest.mark.parametrize(
    "value",
    [
        b" other.example; spf=pass",
        b" mx.example.org.evil; x",
        b" xmx.example.org; none",
        b" (mx.example.org) other.example; none",
        b" other.example; mx.example.org",
        " other.example; none",
    ],
)
def test_other_hosts_are_left_alone(value):
    assert not carries_authserv_id(value, "mx.example.org")
