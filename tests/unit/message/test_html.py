"""HTML: what is seen, what is hidden, where links lead."""

from __future__ import annotations

import pytest

from filterproxy.message.html import HtmlDocument, Image, Link, parse_html


def parse(source: str, tags: int = 1_000) -> HtmlDocument:
    return parse_html(source, tags, set())


@pytest.mark.parametrize(
    ("source", "visible"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("one<br>two<BR/>three", "one\ntwo\nthree"),
        ("f<b>r</b>e<i>e</i>", "free"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>", "a b\nc"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("  many \n\t spaces&nbsp;&nbsp;here ", "many spaces here"),
        ("&lt;b&gt; &amp;amp; &euro; &#8364; &#x20ac; &bogus; &", "<b> &amp; € € € &bogus; &"),
        ("&#99999999999999999999;", "\ufffd;"),
        ("V\u200bi\u00adag\ufeffra", "Viagra"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("a<!-- comment -->b<!-->c<!--->d", "abcd"),
        ("a<!-- never closed", "a"),
        ("a<!doctype html><?xml x?>b</ >c", "abc"),
        ("<title>t</title><style>s</style><script>a<b</script>x", "x"),
        ("<SCRIPT>x</SCRIPT >y", "y"),
        ("<script>never closed", ""),
        ("<textarea>a<b>c</textarea>", "a<b>c"),
        ("<head><meta charset=x></head><body>x", "x"),
        ("<a title='>'>x</a>", "x"),
        ('<a title="a>b" href=c>x</a>', "x"),
        ("<a href=x>y", "y"),
        ("x<a href=", "x"),
        ("<b", ""),
        ("<o:p>x</o:p>", "x"),
        ("<noscript>x</noscript>", "x"),
    ],
)
def test_visible(source: str, visible: str) -> None:
    assert parse(source).visible == visible


@pytest.mark.parametrize(
    "start",
    [
        "<p style='display:none'>",
        "<p style='DISPLAY : NONE !important'>",
        "<p style='color:red;display:none'>",
        "<p style='visibility:hidden'>",
        "<p style='font-size:0'>",
        "<p style='font-size:0px;line-height:1px'>",
        "<p style='font-size:1px'>",
        "<p style='opacity:0'>",
        "<p style='opacity:0.0'>",
        "<p style='max-height:0px;overflow:hidden'>",
        "<p style='height:0;overflow:hidden'>",
        "<p style='display:block;display:none'>",
        "<p style='display:none!important;display:block'>",
        "<p style='font:0/0 a'>",
        "<p style='display:/* */none'>",
        "<p style='/* x */ display /**/ : none ; color:red'>",
        "<p style='font-size:0'><b style='font-size:100%'>",
        "<p style='font-size:0;font-size:.5px'>",
        "<style>b{}</style><p style='color:white;background:white'>",
        "<p style='mso-hide:all'>",
        "<p hidden>",
        "<p style='color:#fff'>",
        "<p style='color:white'>",
        "<p style='color:rgb(255, 255, 255)'>",
        "<p style='color:#fefefe'>",
        "<p style='color:transparent'>",
        "<p style='background:#000000;color:black'>",
        "<p style='background-color:#123456;color:#123456'>",
        "<font color=white>",
        "<font color=ffffff>",
        "<table bgcolor=black><tr><td>",
        "<div style='background:#000'><span>",
        "<template>",
    ],
)
def test_hidden(start: str) -> None:
    document = parse(f"seen {start}not seen")
    assert (document.visible, document.hidden) == ("seen", "not seen")


@pytest.mark.parametrize(
    "start",
    [
        "<p>",
        "<p style='display:block'>",
        "<p style='font-size:0.9em'>",
        "<p style='font-size:10px'>",
        "<p style='opacity:0.9'>",
        "<p style='max-height:100px'>",
        "<p style='max-height:0'>",
        "<p style='max-height:100px;overflow:hidden'>",
        "<p style='display:none;display:block'>",
        "<p style='font:0/0 a;font-size:12px'>",
        "<p style='font-size:0'><b style='font:bold 12px/1.5 Arial'>",
        "<p style='visibility:hidden'><b style='visibility:visible'><i style='visibility:inherit'>",
        # What a style sheet may have changed hides nothing.
        "<style>.b{background:red}</style><p class=b style='color:white'>",
        "<link rel=stylesheet href=x><p class=b style='color:white'>",
        "<style>.b{color:white}</style><table bgcolor=black><tr><td class=b>",
        # A link is blue.
        "<font color=white><a href=x>",
        "<table bgcolor=black><tr><td><a href=x>",
        "<p style='background-image:linear-gradient(red,red);color:white'>",
        "<p style='color:red'>",
        "<p style='color:white;background:#ff0000'>",
        "<p style='color:white;background:url(x.png)'>",
        "<p style='background:transparent'>",
        "<p style='not-display:none'>",
        "<p style='font-size:0'><b style='font-size:12px'>",
        "<p style='visibility:hidden'><b style='visibility:visible'>",
        "<p style='color:white'><b style='color:black'>",
        "<table bgcolor=black><tr><td><font color=white>",
        "<body text=white bgcolor=black>",
        "<table background=x.png><tr><td><font color=white>",
        "<img style='display:none'>",
        "<br hidden>",
        "<p style='color:bogus'>",
    ],
)
def test_not_hidden(start: str) -> None:
    assert parse(f"{start}seen").visible == "seen"


@pytest.mark.parametrize(
    ("source", "visible", "hidden"),
    [
        ("<p style='display:none'>h</p>v", "v", "h"),
        ("<p style='display:none'>h<p>v", "v", "h"),
        ("<p style='display:none'>h<div>v</div>", "v", "h"),
        ("<div style='display:none'><p>h</div>v", "v", "h"),
        ("<div style='display:none'><b>h</b><b style='display:block'>h</b></div>v", "v", "hh"),
        ("<ul><li hidden>h<li>v</ul>", "v", "h"),
        ("<dl><dt hidden>h<dd>v</dl>", "v", "h"),
        ("<table><tr><td hidden>h<td>v</table>", "v", "h"),
        ("<table><tr hidden><td>h<tr><td>v</table>", "v", "h"),
        ("<table><tbody hidden><tr><td>h<tbody><tr><td>v</table>", "v", "h"),
        ("<table hidden><tr><td><div>h</table>v", "v", "h"),
        ("<div><table><td hidden></div>h</table>v", "v", "h"),
        # Formatting elements overlap blocks.
        ("<font color=white>h<p>h</font>v</p>", "v", "hh"),
        ("<p><font color=white>h</p>h</font>v", "v", "hh"),
        ("<span hidden>h<b>h</span>v", "v", "hh"),
        ("<span hidden>h<div></span>h</div>h</span>v", "v", "hhh"),
        ("<b hidden>h</b></b>v", "v", "h"),
        ("</p></div></b>v", "v", ""),
    ],
)
def test_where_hiding_ends(source: str, visible: str, hidden: str) -> None:
    document = parse(source)
    assert (document.visible, document.hidden.replace("\n", "")) == (visible, hidden)


@pytest.mark.parametrize(
    ("source", "links"),
    [
        ("<a href=http://x.example/>y</a>", [("http://x.example/", "y")]),
        ("<a href='a?b=1&amp;c=2&lt=3'> x <b>y</b>\n</a>", [("a?b=1&c=2&lt=3", "x y")]),
        ("<a name=x>y</a>", []),
        ("<a href=''>y</a>", []),
        ("<a href=1>one<a href=2>two", [("1", "one"), ("2", "two")]),
        ("<a href=1><div>one</div></a>", [("1", "one")]),
        ("<div><a href=1>one</div>two</a>three", [("1", "one two")]),
        ("<a href=1><table><tr><td><a href=2>two</table>one</a>", [("2", "two"), ("1", "two one")]),
        ("<a href=1><span hidden>no</span>yes</a>", [("1", "yes")]),
        ("<a href=1><img src=x></a>", [("1", "")]),
        ("<map><area href=1></map>", [("1", "")]),
        ("<a href=1 href=2>x</a>", [("1", "x")]),
        ("<A HREF=1>x</A>", [("1", "x")]),
    ],
)
def test_links(source: str, links: list[tuple[str, str]]) -> None:
    found = [(link.href, " ".join(link.text.split())) for link in parse(source).links]
    assert found == links


def test_link_text_is_limited() -> None:
    (link,) = parse(f"<a href=x>{'y' * 5_000}</a>").links
    assert link == Link("x", "y" * 1_000)


def test_tags_images_and_resources() -> None:
    document = parse(
        "<p>x<p>y<img src=1.png width=1 height=1><img><iframe src=2></iframe><form action=3></form>"
        "<link href=4><base href=5><table background=6></table></p>"
    )
    assert document.tags == {"p": 2, "img": 2, "iframe": 1, "form": 1, "link": 1, "base": 1, "table": 1}
    assert document.images == (Image("1.png", "1", "1"), Image("", "", ""))
    assert document.resources == ("1.png", "2", "3", "4", "5", "6")


def test_tags_are_limited() -> None:
    defects: set[str] = set()
    document = parse_html("<p>one</p><p>two</p>", 2, defects)
    assert document.visible == "one"
    assert defects == {"html_limit"}


def test_attributes_are_limited() -> None:
    attributes = " ".join(f"a{n}=1" for n in range(200))
    assert parse(f"<p {attributes} hidden>x").visible == "x"
    assert parse(f"<p hidden {attributes}>x").hidden == "x"


def test_depth_is_limited() -> None:
    document = parse("<div>" * 400 + "x" + "</div>" * 400 + "y")
    assert document.visible == "x\ny"
