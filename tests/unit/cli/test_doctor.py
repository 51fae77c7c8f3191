"""`filterproxy doctor`: what it prints, and its exit status."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from filterproxy.cli.main import app
from filterproxy.testing.dns_server import DnsServer
from tests.unit.app.doctor.patients import COM, write_config


@pytest.fixture(scope="module")
def dns():
    with DnsServer({**COM, "mx.example.org": {"A": ["10.0.0.1"]}}) as server:
        yield server


def run(*arguments: object):
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def test_a_healthy_installation(tmp_path, dns):
    result = run("-c", write_config(tmp_path, dns.address))
    assert result.exit_code == 0, result.output
    assert f"ok       resolver       {dns.address} answers in" in result.stdout
    assert "PROBLEM" not in result.stdout
    assert result.stdout.splitlines()[-1].endswith("notes")


def test_json(tmp_path, dns):
    result = run("-c", write_config(tmp_path, dns.address), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["healthy"]) == (0, True)
    assert all(finding.keys() == {"area", "status", "text", "advice"} for finding in told["findings"])
    assert {finding["status"] for finding in told["findings"]} <= {"ok", "note", "warning"}
    assert {"configuration", "resolver", "store", "disk", "clock"} <= {finding["area"] for finding in told["findings"]}


def test_a_problem_is_exit_status_1_and_what_to_do(tmp_path):
    with DnsServer({"*": {"A": ["192.0.2.9"]}}) as lying:
        path = write_config(tmp_path, lying.address)
        table, as_json = run("-c", path), run("-c", path, "--json")
    assert (table.exit_code, as_json.exit_code) == (1, 1)
    assert "PROBLEM  resolver" in table.stdout and "-> DNS lists and checks of senders cannot work so" in table.stdout
    assert "1 problem, " in table.stdout.splitlines()[-1]
    assert json.loads(as_json.stdout)["healthy"] is False


def test_what_strangers_write_is_escaped(tmp_path):
    zones = {**COM, "mx.example.org": {"A": ["198.51.100.7"]}, "example.org": {"TXT": [b"v=spf1 \x1b[31m -all"]}}
    with DnsServer(zones) as server:
        result = run("-c", write_config(tmp_path, server.address, local_domains=["example.org"]))
    assert "\x1b" not in result.stdout and "v=spf1 \\x1b[31m -all" in result.stdout


def test_a_broken_configuration_is_a_problem_too(tmp_path):
    (tmp_path / "filterproxy.yml").write_text("workers: many\n")
    result = run("-c", tmp_path / "filterproxy.yml", "--json")
    assert result.exit_code == 1
    assert "workers" in json.loads(result.stdout)["findings"][0]["text"]


@pytest.mark.parametrize("arguments", [("--timeout", "0"), ("--jason",)])
def test_wrong_usage(arguments):
    assert run(*arguments).exit_code == 2


def test_what_helps_several_is_said_once(tmp_path):
    with DnsServer({}) as gone:
        pass
    codes = {"127.0.0.2": {"symbol": "X"}}
    lists = [{"name": name, "zone": f"{name}.example", "query": ["client"], "codes": codes} for name in "abc"]
    result = run("-c", write_config(tmp_path, gone.address, checks={"dnslists": {"lists": lists}}))
    assert result.stdout.count("is switched off: it does not answer") == 3
    assert result.stdout.count("do all lists say so?") == 1
