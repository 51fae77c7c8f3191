"""Several results become the one word that `scan --json` and composites read."""

from __future__ import annotations

import pytest

from filterproxy.core.authentication import MethodResult, summarise


def spf(result, **properties):
    return MethodResult("spf", result, tuple((f"smtp.{name}", value) for name, value in properties.items()))


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], {"spf": "none", "dkim": "none", "dmarc": "none", "arc": "none"}),
        ([spf("pass", helo="a"), spf("fail", mailfrom="b@c")], {"spf": "fail"}),
        ([spf("softfail", helo="a")], {"spf": "softfail"}),
        ([MethodResult("dkim", "fail"), MethodResult("dkim", "pass")], {"dkim": "pass"}),
        ([MethodResult("dkim", "fail"), MethodResult("dkim", "temperror")], {"dkim": "temperror"}),
        ([MethodResult("dmarc", "fail")], {"dmarc": "fail"}),
    ],
)
def test_words(results, expected):
    assert summarise(results).items() >= expected.items()


def test_only_result_words_of_the_standard_exist():
    with pytest.raises(ValueError, match="'bad' is no RFC 8601 result word"):
        MethodResult("spf", "bad")
