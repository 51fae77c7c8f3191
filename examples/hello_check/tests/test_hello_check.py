"""The example's own test: what an author of a check writes."""

import sys
from pathlib import Path

import pytest

from filterproxy.core.symbol import SymbolResult
from filterproxy.testing import assert_check_contract, make_context, make_transaction

sys.path.insert(0, str(Path(__file__).parents[1]))

from hello_check import HelloCheck, HelloConfig


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b"Ciao a tutti", [SymbolResult("HELLO", options=("ciao",))]),
        (b"=?utf-8?q?Hello=21?=", [SymbolResult("HELLO", options=("hello",))]),
        (b"Invoice 4711", []),
    ],
)
async def test_it_greets_back(subject, expected):
    check = HelloCheck(HelloConfig(), make_context())
    transaction = make_transaction(b"Subject: " + subject + b"\r\n\r\nbody\r\n")
    assert list(await check.inspect(transaction)) == expected


def test_it_keeps_the_contract():
    assert_check_contract(HelloCheck(HelloConfig(), make_context()))
