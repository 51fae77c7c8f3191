"""Replies are safe to write: whatever the text holds, no extra line comes out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.reply import Reply


def test_one_and_several_lines():
    assert str(Reply.of(250, "2.0.0", "Ok")) == "250 2.0.0 Ok"
    assert str(Reply(550, ("No", "Really"), "5.1.1")) == "550-5.1.1 No\r\n550 5.1.1 Really"
    assert str(Reply(250, ())) == "250 "


@given(st.lists(st.text(), max_size=4))
def test_text_never_adds_a_line(lines):
    written = str(Reply(451, tuple(lines), "4.3.0"))
    assert len(written.split("\r\n")) == max(1, len(lines))
    assert not any(char < " " for line in written.split("\r\n") for char in line)
