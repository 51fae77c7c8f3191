"""DNS lists as their operators serve them, with rbldnsd: what is listed scores, what misbehaves is switched off."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.system.rbldnsd import Rbldnsd
from tests.system.server import COMMAND, DEFAULTS, FilterproxyServer
from tests.system.waiting import free_port, wait_until

SECRET = "s3cretcustomerkey"
EBL_HASH = hashlib.sha1(b"drop.box@free.example").hexdigest()
ZONES = {
    "bl.example": {
        "ip4set": ":127.0.0.2:listed\n127.0.0.2\n203.0.113.0/28\n203.0.113.64 :127.0.0.10:dynamic\n",
        "ip6trie": ":127.0.0.2:listed\n::ffff:7f00:2/128\n2001:db8:bad::/48\n",
    },
    f"{SECRET}.keyed.example": {"ip4set": ":127.0.0.4:botnet\n127.0.0.2\n203.0.113.5\n"},
    "wl.example": {"ip4set": "127.0.0.2\n203.0.113.5 :127.0.10.3:good\n"},
    "uribl.example": {"dnset": ":127.0.0.10:listed\nTEST\n.shop.example\nsigner.example\n"},
    "ebl.example": {"dnset": f":127.0.0.2:listed\nTEST\n{EBL_HASH}\n"},
    # Everything is listed: the end of a list that was closed.
    "closed.example": {"ip4set": ":127.0.0.2:closed\n127.0.0.0/8\n203.0.113.0/24\n"},
    "refusing.example": {"ip4set": ":127.255.255.254:public resolver\n127.0.0.0/8\n203.0.113.0/24\n"},
}


def a_list(name: str, query: list[str], codes: dict[str, tuple[str, float]], **more: str) -> dict:
    meanings = {code: {"symbol": symbol, "score": score} for code, (symbol, score) in codes.items()}
    return {"name": name, "query": query, "codes": meanings, **(more or {"zone": f"{name}.example"})}


LISTS = [
    a_list("bl", ["client"], {"127.0.0.2": ("T_BL", 4), "127.0.0.10-11": ("T_PBL", 0)}),
    a_list("keyed", ["client"], {"bit:4": ("T_KEYED", 1)}, keyed_zone="{key}.keyed.example", key="house"),
    a_list("wl", ["client"], {"127.0.*.3": ("T_WL", -3)}),
    a_list("uribl", ["urls", "mail_from"], {"bit:8": ("T_URI", 5)}),
    a_list("ebl", ["reply_to_address"], {"127.0.0.2": ("T_EBL", 5)}),
    a_list("closed", ["client"], {"127.0.0.2": ("T_CLOSED", 9)}),
    a_list("refusing", ["client"], {"127.0.0.0/8": ("T_REFUSING", 9)}),
]
MESSAGE = (
    b"From: Eve <eve@evil.example>\r\nReply-To: Drop.Box@Free.example\r\nSubject: x\r\n\r\n"
    b"see http://www.shop.example/x and https://honest.example/\r\n"
)


@pytest.fixture
def lists(system_dir: Path):
    with Rbldnsd(system_dir, ZONES) as server:
        yield server


def config(lists: Rbldnsd, **more) -> dict:
    check = {"lists": LISTS, "keys": {"house": SECRET}, **more}
    return {"dns": {"nameservers": [lists.address], "timeout": "2s"}, "checks": {"dnslists": check}}


def scan(folder: Path, settings: dict, *options: str) -> tuple[dict[str, float], str]:
    """Return the symbols with their scores, and everything the command printed."""
    file = folder / "scan.yml"
    file.write_text(json.dumps({**DEFAULTS, **settings}))
    command = [COMMAND, "scan", "-c", file, "--json", *options, "-"]
    done = subprocess.run(command, input=MESSAGE, capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    symbols = json.loads(done.stdout)["symbols"]
    return {symbol["name"]: symbol["score"] for symbol in symbols}, (done.stdout + done.stderr).decode()


def test_what_is_listed_scores_and_lists_that_lie_do_not(lists, system_dir):
    symbols, printed = scan(system_dir, config(lists), "--ip", "203.0.113.5", "--mail-from", "x@mail.signer.example")
    assert symbols == {
        "T_BL": 4, "T_KEYED": 1, "T_WL": -3, "T_URI": 5, "T_EBL": 5, "DNSLISTS_UNAVAILABLE": 0
    }  # fmt: skip
    assert "list closed is switched off: it lists everything" in printed
    assert "list refusing is switched off: it refuses our queries (127.255.255.254)" in printed
    assert SECRET not in printed


def test_ipv6_clients_and_other_codes(lists, system_dir):
    symbols, _ = scan(system_dir, config(lists), "--ip", "2001:db8:bad::25", "--mail-from", "x@honest.example")
    assert symbols["T_BL"] == 4 and "T_URI" in symbols
    symbols, _ = scan(system_dir, config(lists), "--ip", "203.0.113.64", "--mail-from", "")
    assert symbols["T_PBL"] == 0 and "T_BL" not in symbols


def test_a_list_that_recovers_is_believed_again(lists, system_dir):
    metrics = free_port()
    settings = config(lists, retest_interval="100ms", test_interval="200ms")
    settings["listeners"] = [{"type": "http", "address": f"127.0.0.1:{metrics}"}]
    # What a negative answer may be cached for decides how soon a change is seen.
    settings["dns"] |= {"max_negative_ttl": "1s", "max_ttl": "1s"}

    def shown() -> str:
        return urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5).read().decode()

    with FilterproxyServer(system_dir / "service", settings) as service:
        service.wait_for_log("list closed is switched off: it lists everything")
        assert 'filterproxy_dns_list_on{list="closed"} 0.0' in shown()
        assert 'filterproxy_dns_list_on{list="bl"} 1.0' in shown()
        lists.write("closed.example", "ip4set", ":127.0.0.2:open again\n127.0.0.2\n")
        lists.write("bl.example", "ip4set", ":127.0.0.2:closed\n127.0.0.0/8\n203.0.113.0/24\n")
        lists.reload()
        service.wait_for_log("list closed is on again")
        service.wait_for_log("list bl is switched off: it lists everything")
        wait_until(lambda: 'filterproxy_dns_list_on{list="bl"} 0.0' in shown(), "the metric says so")
        assert 'filterproxy_dns_list_on{list="closed"} 1.0' in shown()
        assert 'filterproxy_dns_list_switched_off_total{list="bl",reason="lists_everything"} 1.0' in shown()
        assert SECRET not in shown() + service.log()


def test_the_doctor_tells_the_state_of_each_list_while_the_filter_runs(lists, system_dir):
    settings = config(lists)
    settings["listeners"] = [{"type": "http", "address": f"127.0.0.1:{free_port()}"}]
    with FilterproxyServer(system_dir / "service", settings) as service:
        done = subprocess.run([COMMAND, "doctor", "-c", service.config, "--json"], capture_output=True, timeout=60)
    assert done.returncode == 1, done.stderr
    told = [(item["area"], item["status"], item["text"]) for item in json.loads(done.stdout)["findings"]]
    listener = f"http {settings['listeners'][0]['address']} answers"
    assert ("listeners", "ok", listener) in told
    # rbldnsd serves its zones and nothing else: no resolver for a mail server.
    assert ("resolver", "problem", f"{lists.address} refuses our questions") in told
    assert {text for area, status, text in told if area == "DNS lists" and status == "ok"} == {
        f"{name} is on" for name in ("bl", "keyed", "wl", "uribl", "ebl")
    }
    assert ("DNS lists", "problem", "closed is switched off: it lists everything") in told
    assert SECRET not in done.stdout.decode() + done.stderr.decode()
