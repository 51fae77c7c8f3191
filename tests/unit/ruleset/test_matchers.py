"""Matchers: each finds what it says and nothing else."""

from __future__ import annotations

import base64
import io
import json
import zipfile

import pytest

from filterproxy.core.authentication import MethodResult
from filterproxy.core.session import Tls
from filterproxy.testing import make_transaction
from tests.unit.ruleset.loading import fired, load_text, with_results

HTML = (
    '<p>Dear <b>customer</b></p><div style="display:none">hidden words</div>'
    '<a href="https://evil.example.net/login?u=1">www.bank.com</a><img src="http://192.0.2.7:8080/p.png">'
)


def _archive() -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("invoice.pdf.js", "x")
    return base64.encodebytes(buffer.getvalue()).decode()


MESSAGE = f"""\
Received: from mail.example.org (unknown [192.0.2.9])
Received: from laptop (host7.example.net [10.1.2.3])
 by mail.example.org (Postfix) with ESMTPSA id 4Abc; Mon, 02 Mar 2026 17:59:00 +0000
From: "Your Bank" <info@mailer.example.org>, Second <two@example.net>
Reply-To: claims@gmail.com
To: you@example.com
Subject: =?utf-8?q?You_w=C3=B6n!!_Prize?=
Date: Mon, 02 Mar 2026 18:00:00 +0000
Message-ID: <123@other.example.com>
X-Mailer: Super Mailer 2.0
X-Empty:
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Congratulations, you  have
won =E8 1,000,000 dollars! Visit http://user:pw@short.example.com/x/abc?q=3D1 now!!
--b
Content-Type: text/html; charset=utf-8

{HTML}
--b
Content-Type: application/zip; name="documents.zip"
Content-Transfer-Encoding: base64

{_archive()}
--b
Content-Type: application/pdf; name="paper.pdf"
Content-Disposition: attachment

plain words
--b--
"""


def _transaction():
    transaction = make_transaction(
        MESSAGE.replace("\n", "\r\n").encode(),
        client="192.0.2.9",
        client_name="host9.dyn.example.net",
        helo="localhost",
        mail_from="bounce@mailer.example.org",
        rcpt_to=["you@example.com", "me@example.com"],
        user="",
    )
    transaction.session.tls = Tls("TLSv1.3", "x")
    return with_results(transaction, MethodResult("spf", "softfail", (("smtp.mailfrom", "mailer.example.org"),)))


TRUE = [
    # text conditions
    ({"subject": {"contains": "you wön"}}, "You won"),
    ({"subject": {"contains": "you won"}}, "You won"),
    ({"subject": {"contains": "wön", "normalize": False}}, "wön"),
    ({"subject": {"regex": r"\bwön\b"}}, "won"),
    ({"subject": {"equals": ["x", "YOU WÖN!! PRIZE"]}}, "You won!! Prize"),
    ({"subject": {"starts_with": "you"}}, "You"),
    ({"subject": {"ends_with": "prize"}}, "Prize"),
    ({"subject": {"regex": "W.N", "ignore_case": True}}, "won"),
    ({"subject": {"regex": "Prize", "ignore_case": False}}, "Prize"),
    ({"subject": {"regex": "!", "count": 2}}, "!"),
    ({"subject": {"length": "< 20"}}, None),
    ({"subject": {"contains": "prize", "not": {"contains": "invoice"}}}, "Prize"),
    ({"body": {"regex": r"you have won \S+ [\d,]+ dollars"}}, "you have won e 1,000,000 dollars"),
    ({"body": {"contains": "Dear customer"}}, "Dear customer"),
    ({"body": {"regex": "!", "count": ">= 3"}}, "!"),
    ({"body": {"contains": "have\r\nwon", "normalize": False}}, "have won"),
    ({"raw_body": {"regex": r"=E8 [\d,]+"}}, "=E8 1,000,000"),
    ({"raw_body": {"contains": "<b>customer</b>", "count": 1}}, "<b>customer</b>"),
    ({"headers": {"regex": r"(?m)^X-Mailer: Super"}}, "X-Mailer: Super"),
    ({"header_names": {"regex": "from reply-to to subject"}}, "from reply-to to subject"),
    # pieces of texts
    ({"raw_message": {"regex": r"(?s)X-Mailer: Super.*=E8"}}, None),
    ({"body": {"per": "paragraph", "regex": "^Congratulations.*now!!$"}}, None),
    ({"body": {"per": "paragraph", "starts_with": "dear customer"}}, "Dear customer"),
    ({"body": {"per": "paragraph", "regex": "!", "places": 3}}, "!"),
    ({"body": {"per": "paragraph", "regex": "won", "count": 1}}, "won"),
    ({"decoded_body": {"contains": "<b>customer</b>"}}, "<b>customer</b>"),
    ({"decoded_body": {"regex": "won è 1", "normalize": False}}, "won è 1"),
    ({"decoded_body": {"per": "line", "regex": "^won .*now!!$"}}, None),
    ({"decoded_body": {"per": "line", "raw": True, "regex": r"^won \xE8 1"}}, "won è 1"),
    ({"decoded_body": {"raw": True, "regex": r"have\r\nwon \xE8"}}, "have won è"),
    ({"headers": {"decoded": True, "regex": r"(?m)^Subject: You wön!! Prize$"}}, None),
    ({"header": {"name": "*", "regex": "^Super Mailer 2"}}, "Super Mailer 2"),
    ({"header": {"name": "*", "only": "first", "contains": "192.0.2.9"}}, "192.0.2.9"),
    ({"header": {"name": "From", "part": "address", "only": "last", "regex": "e", "places": ">= 5"}}, "e"),
    ({"header": {"name": ["To", "From"], "regex": "@", "places": 3}}, "@"),
    ({"html": {"element": {"name": "div", "attributes": {"style": {"contains": "display:none"}}}}}, "div"),
    ({"html": {"element": {"attributes": {"SRC": {"exists": True}, "alt": {"absent": True}}}}}, None),
    ({"html": {"element": {"name": ["a", "img"], "count": 2}}}, "img"),
    ({"url": {"decoded": {"contains": "/login?u=1"}}}, "/login?u=1"),
    ({"part": {"type": "text/plain", "encoding": "quoted-printable", "charset": "iso-8859-1"}}, "text/plain"),
    ({"part": {"header": {"name": "content-disposition", "contains": "attachment"}, "depth": 1}}, "attachment"),
    ({"part": {"header": {"name": "Content-Type", "raw": True, "regex": r'name="doc'}}}, 'name="doc'),
    ({"part": {"header": {"name": "Content-Transfer-Encoding", "absent": True}, "count": 3}}, None),
    ({"part": {"type": "text/html", "text": {"contains": "<b>customer"}, "size": "< 1KB"}}, "<b>customer"),
    ({"attachment": {"header": {"name": "Content-Disposition", "exists": True}, "extension": "pdf"}}, "pdf"),
    ({"language": "en"}, "en"),
    ({"language": {"not": ["de", "fr"]}}, "en"),
    ({"sum": {"of": [{"match": {"body": {"regex": "!", "places": ">= 1"}}, "times": 2}], "is": 6}}, "!"),
    ({"sum": {"of": [{"match": {"body": {"regex": "!", "places": ">= 1"}}, "at_most": 2}], "is": 2}}, "!"),
    # header fields
    ({"header": {"name": "X-Mailer", "regex": r"mailer \d"}}, "Mailer 2"),
    ({"header": {"name": ["X-None", "x-mailer"], "contains": "super"}}, "Super"),
    ({"header": {"name": "X-None", "absent": True}}, None),
    ({"header": {"name": "X-None", "exists": False}}, None),
    ({"header": {"name": "X-Empty", "exists": True}}, None),
    ({"header": {"name": "Received", "count": "< 3"}}, None),
    ({"received": {"only": "last", "helo": "laptop", "ip": "10.0.0.0/8", "private": True}}, "laptop"),
    ({"received": {"by": {"ends_with": ".example.org"}, "name": "host7.example.net", "auth": "ESMTPSA"}}, None),
    ({"received": {"only": "first", "ip": "192.0.2.9", "helo": "localhost"}}, "localhost"),
    ({"received": {"count": ">= 2"}}, None),
    ({"header": {"name": "Subject", "raw": True, "contains": "=?utf-8?q?"}}, "=?utf-8?q?"),
    ({"header": {"name": "From", "part": "domain", "equals": "mailer.example.org"}}, "mailer.example.org"),
    ({"header": {"name": "From", "part": "display_name", "contains": "bank"}}, "Bank"),
    ({"header": {"name": "From", "part": "address", "count": 2}}, None),
    # HTML
    ({"html": {"visible": {"contains": "dear customer"}}}, "Dear customer"),
    ({"html": {"hidden": {"contains": "hidden words"}}}, "hidden words"),
    ({"html": {"tags": {"a": 1, "script": 0}}}, "a 1"),
    ({"html": {"links": 1, "images": 1}}, "links 1"),
    # URLs
    ({"url": {"host": "short.example.com"}}, "short.example.com"),
    ({"url": {"domain": ["x.com", "example.com"], "path": {"starts_with": "/x/"}}}, "example.com"),
    ({"url": {"userinfo": {"regex": "."}}}, "u"),
    ({"url": {"port": 8080, "host": "192.0.2.7"}}, "192.0.2.7"),
    ({"url": {"regex": r"https://.*\?u="}}, "https://evil.example.net/login?u="),
    ({"url": {"display": {"contains": "bank"}, "domain": {"not": "bank.com"}}}, "example.net"),
    ({"url": {"display_names_other_site": True}}, None),
    ({"url": {"source": "html", "count": 2}}, "html"),
    ({"url": {"scheme": "https", "query": "u=1"}}, "u=1"),
    # attachments
    ({"attachment": {"extension": ["exe", "zip"]}}, "zip"),
    ({"attachment": {"filename": {"regex": "^doc"}, "type": "application/zip"}}, "doc"),
    ({"attachment": {"detected_type": "application/zip"}}, "application/zip"),
    ({"attachment": {"member": {"regex": r"\.js$"}}}, ".js"),
    ({"attachment": {"size": "< 20", "extension": "pdf"}}, "pdf"),
    ({"attachment": {"count": 2}}, None),
    ({"attachment": {"type": "application/pdf", "detected_type": {"not": "application/pdf"}}}, "application/pdf"),
    # envelope, client, authentication, date, form
    ({"envelope": {"mail_from": "BOUNCE@mailer.example.org"}}, "bounce@mailer.example.org"),
    ({"envelope": {"rcpt_to": {"count": 2}}}, None),
    ({"envelope": {"rcpt_to": {"starts_with": "me@"}}}, "me@"),
    ({"client": {"ip": "192.0.2.0/24"}}, "192.0.2.9"),
    ({"client": {"ip": ["10.0.0.0/8", "192.0.2.9"]}}, "192.0.2.9"),
    ({"client": {"name": {"contains": ".dyn."}, "helo": "localhost"}}, ".dyn."),
    ({"client": {"user": {"absent": True}, "tls": True, "local": False}}, "tls"),
    ({"authentication": {"spf": ["fail", "softfail"]}}, "spf=softfail"),
    ({"authentication": {"dmarc": "none"}}, "dmarc=none"),
    ({"date": {"ahead": "> 1d"}}, "seconds 108000"),
    ({"date": {"valid": True}}, "Date"),
    ({"date": {"behind": "< 0"}}, "seconds -108000"),
    ({"charset": "iso-8859-1"}, "iso-8859-1"),
    ({"size": [">= 500", "< 1MB"]}, None),
    ({"defect": "bare_cr", "not": {"subject": {"exists": True}}}, False),
    ({"differ": ["from.site", "reply_to.site"]}, "example.net gmail.com"),
    ({"same": ["from.site", "mail_from.site"]}, "example.org"),
    ({"same": ["from.domain", "mail_from.domain"]}, "mailer.example.org"),
    ({"differ": ["message_id.domain", "helo"]}, "other.example.com localhost"),
    ({"same": ["message_id.site", "url.site"]}, "example.com"),
    ({"differ": ["client.site", "to.site"]}, "example.net example.com"),
    ({"same": ["to.address", "rcpt_to.address"]}, "you@example.com"),
    # structure
    ({"subject": {"contains": "prize"}, "body": {"contains": "won"}}, "Prize"),
    ({"all": [{"subject": {"contains": "prize"}}, {"body": {"contains": "won"}}]}, "Prize"),
    ({"any": [{"subject": {"contains": "nothing"}}, {"body": {"contains": "won"}}]}, "won"),
    ({"not": {"subject": {"contains": "nothing"}}}, None),
    (
        {"at_least": {"n": 2, "of": [{"body": {"contains": c}} for c in ("nope", "won", "dollars")]}},
        "won",
    ),
    ({"any": [{"not": {"body": {"contains": "won"}}}, {"size": "> 1"}]}, None),
]

FALSE = [
    {"subject": {"contains": "invoice"}},
    {"subject": {"contains": "won", "normalize": False}},
    {"subject": {"equals": "prize"}},
    {"subject": {"starts_with": "prize"}},
    {"subject": {"ends_with": "you"}},
    {"subject": {"regex": "prize", "ignore_case": False}},
    {"subject": {"contains": "prize", "not": {"contains": "you"}}},
    {"subject": {"contains": "prize", "length": "> 100"}},
    {"subject": {"regex": "!", "count": "> 2"}},
    {"body": {"regex": "hidden words"}},
    {"body": {"contains": "have\nwon", "normalize": False}},
    {"raw_body": {"contains": "X-Mailer"}},
    {"body": {"per": "paragraph", "regex": "now.*dear"}},
    {"body": {"per": "paragraph", "regex": "^have"}},
    {"body": {"per": "paragraph", "regex": "won", "places": 2}},
    {"decoded_body": {"per": "line", "regex": "have won"}},
    {"decoded_body": {"contains": "=E8"}},
    {"headers": {"decoded": True, "contains": "=?utf-8"}},
    {"header": {"name": "*", "only": "first", "contains": "Mailer"}},
    {"header": {"name": "From", "only": "last", "part": "address", "contains": "@", "places": "> 2"}},
    {"html": {"element": {"name": "img", "attributes": {"src": {"contains": "https"}}}}},
    {"html": {"element": {"name": "a", "attributes": {"href": {"absent": True}}}}},
    {"part": {"type": "text/html", "header": {"name": "Content-Transfer-Encoding", "exists": True}}},
    {"part": {"type": "multipart/mixed", "depth": "> 0"}},
    {"language": ["de", "fr"]},
    {"language": {"absent": True}},
    {"sum": {"of": [{"match": {"body": {"regex": "!", "places": "> 3"}}}], "is": "> 0"}},
    {"attachment": {"header": {"name": "Content-Disposition", "exists": True}, "extension": "zip"}},
    {"header": {"name": "Subject", "absent": True}},
    {"header": {"name": "X-None", "contains": ""}},
    {"header": {"name": "From", "part": "domain", "equals": "example.org"}},
    {"header": {"name": "Received", "count": 3}},
    {"received": {"only": "first", "helo": "laptop"}},
    {"received": {"ip": "10.0.0.0/8", "private": False}},
    {"received": {"count": 1}},
    {"html": {"visible": {"contains": "hidden"}}},
    {"html": {"tags": {"a": 2}}},
    {"url": {"host": "short.example.com", "path": {"starts_with": "/login"}}},
    {"url": {"host": {"regex": "^example"}}},
    {"url": {"display_names_other_site": True, "host": "short.example.com"}},
    {"url": {"source": "html", "count": "> 2"}},
    {"attachment": {"extension": "zip", "filename": "paper.pdf"}},
    {"attachment": {"extension": "exe"}},
    {"attachment": {"size": "> 1MB"}},
    {"envelope": {"mail_from": ""}},
    {"client": {"ip": "198.51.100.0/24"}},
    {"client": {"user": {"exists": True}}},
    {"client": {"tls": False}},
    {"authentication": {"spf": "pass"}},
    {"authentication": {"spf": "softfail", "dkim": "pass"}},
    {"date": {"ahead": "> 2d"}},
    {"date": {"valid": False}},
    {"charset": "koi8-r"},
    {"size": "> 1MB"},
    {"same": ["from.site", "reply_to.site"]},
    {"differ": ["from.site", "sender.site"]},
    {"differ": ["from.site", "mail_from.site"]},
    {"subject": {"contains": "prize"}, "body": {"contains": "lost"}},
    {"any": [{"subject": {"contains": "nothing"}}, {"body": {"contains": "lost"}}]},
    {"not": {"subject": {"contains": "prize"}}},
    {"at_least": {"n": 2, "of": [{"body": {"contains": c}} for c in ("nope", "won", "nothing")]}},
]


def _rules(matches) -> str:
    return json.dumps({"rules": [{"name": f"R{number}", "match": match} for number, match in enumerate(matches)]})


@pytest.mark.parametrize(("match", "evidence"), TRUE, ids=lambda value: json.dumps(value)[:70])
def test_what_matches_and_what_it_shows(tmp_path, match, evidence):
    found = fired(load_text(tmp_path, _rules([match])), _transaction())
    if evidence is False:
        assert found == {}
    elif evidence is None:
        assert "R0" in found
    else:
        assert evidence in found["R0"]


@pytest.mark.parametrize("match", FALSE, ids=lambda value: json.dumps(value)[:70])
def test_what_does_not_match(tmp_path, match):
    assert fired(load_text(tmp_path, _rules([match])), _transaction()) == {}


def test_all_rules_together_give_the_same_as_one_by_one(tmp_path):
    matches = [match for match, _ in TRUE] + FALSE
    expected = {f"R{number}" for number, (_, evidence) in enumerate(TRUE) if evidence is not False}
    assert set(fired(load_text(tmp_path, _rules(matches)), _transaction())) == expected


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"no header", b"\x00\xff\r\n\r\n\xff", b"Date: x\r\nFrom: <>\r\n\r\n"])
def test_no_message_makes_a_matcher_raise(tmp_path, raw):
    ruleset = load_text(tmp_path, _rules([match for match, _ in TRUE] + FALSE))
    assert isinstance(fired(ruleset, make_transaction(raw)), dict)


def test_null_sender_and_missing_things(tmp_path):
    ruleset = load_text(
        tmp_path,
        _rules(
            [
                {"envelope": {"mail_from": ""}},
                {"client": {"name": {"absent": True}}},
                {"date": {"valid": False}},
                {"attachment": {"count": 0}},
                {"url": {"count": 0}},
                {"header": {"name": ["Date", "Message-ID"], "absent": True}},
            ]
        ),
    )
    found = fired(ruleset, make_transaction(b"Subject: x\r\n\r\nx\r\n", mail_from=""))
    assert set(found) == {f"R{number}" for number in range(6)}


def test_evidence_is_short_and_on_one_line(tmp_path):
    ruleset = load_text(tmp_path, _rules([{"body": {"regex": "(?s)begin.*end", "normalize": False}}]))
    (option,) = fired(ruleset, make_transaction(b"S: x\r\n\r\nbegin\r\n" + b"x " * 5000 + b"end\r\n"))["R0"]
    assert option.startswith("begin x x")
    assert len(option) == 60
    assert option.endswith("…")
