"""Metrics: each method counts what it says; several workers are summed."""

from __future__ import annotations

import math
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from filterproxy.observability.metrics import Metrics


def samples(rendered: bytes) -> dict[str, float]:
    return {
        sample.name + "".join(f",{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(rendered.decode())
        for sample in family.samples
    }


def fill(metrics: Metrics) -> None:
    metrics.scanned("smtp", "reject", 0.01)
    metrics.scanned("smtp", "reject", 3.0)
    metrics.check_done("spf", "ok", 0.001)
    metrics.symbol_fired("SPF_FAIL")
    metrics.autolearned("spam")
    metrics.autolearned("no")
    metrics.session_opened("smtp")
    metrics.session_opened("smtp")
    metrics.session_closed("smtp")
    metrics.protocol_error("smtp")
    metrics.next_hop_error("connect")
    for ok in (True, False, False):
        metrics.authenticated(ok=ok)
    metrics.dns_query("found", 0.002)
    metrics.dns_list("house", "", "owner")
    metrics.dns_list("other", "refused", "owner")
    metrics.history_dropped(3)
    metrics.log_dropped(7)
    metrics.reloaded("ok")


EXPECTED = {
    "filterproxy_scans_total,reject,smtp": 2,
    "filterproxy_scan_seconds_count,smtp": 2,
    "filterproxy_scan_seconds_sum,smtp": 3.01,
    "filterproxy_checks_total,spf,ok": 1,
    "filterproxy_check_seconds_count,spf": 1,
    "filterproxy_symbols_total,SPF_FAIL": 1,
    "filterproxy_open_sessions,smtp": 1,
    "filterproxy_sessions_total,smtp": 2,
    "filterproxy_protocol_errors_total,smtp": 1,
    "filterproxy_auth_total,ok": 1,
    "filterproxy_auth_total,failed": 2,
    "filterproxy_next_hop_errors_total,connect": 1,
    "filterproxy_dns_queries_total,found": 1,
    "filterproxy_dns_seconds_count": 1,
    "filterproxy_dns_list_on,house": 1,
    "filterproxy_dns_list_on,other": 0,
    "filterproxy_dns_list_switched_off_total,other,refused": 1,
    "filterproxy_history_dropped_total": 3,
    "filterproxy_log_dropped_total": 7,
    "filterproxy_reloads_total,ok": 1,
}


def test_each_method_counts():
    metrics = Metrics()
    fill(metrics)
    found = samples(metrics.render())
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED


def test_a_list_that_was_removed_is_neither_on_nor_off():
    metrics, old, new = Metrics(), object(), object()
    metrics.dns_list("gone", "refused", old)
    metrics.dns_list("kept", "refused", old)
    metrics.dns_list("kept", "", new)  # a reload: the new one speaks before the old one is closed
    for name in ("gone", "kept", "unknown"):
        metrics.forget_dns_list(name, old)
    found = samples(metrics.render())
    assert math.isnan(found["filterproxy_dns_list_on,gone"])
    assert found["filterproxy_dns_list_on,kept"] == 1
    assert "filterproxy_dns_list_on,unknown" not in found


def test_two_registries_are_independent():
    first, second = Metrics(), Metrics()
    first.symbol_fired("A")
    assert "filterproxy_symbols_total,A" not in samples(second.render())


def test_names_are_those_that_are_scraped():
    metrics = Metrics()
    fill(metrics)
    families = {name.partition(",")[0] for name in samples(metrics.render()) if name.startswith("filterproxy_")}
    families = {
        name.removesuffix(end) for name in families for end in ("_bucket", "_count", "_sum", "") if name.endswith(end)
    }
    assert set(metrics.names()) <= families


WORKER = """
import sys
from pathlib import Path
from filterproxy.observability import metrics
number = int(sys.argv[1])
metrics.enter_worker(number)
made = metrics.Metrics()
from tests.unit.observability.test_metrics import fill
fill(made)
sys.stdout.buffer.write(made.render())
"""


def test_workers_are_summed(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    outputs = [
        subprocess.run([sys.executable, "-c", WORKER, str(number)], capture_output=True, check=True).stdout
        for number in (1, 2)
    ]
    found = samples(outputs[1])
    assert found["filterproxy_scans_total,reject,smtp"] == 4
    assert found["filterproxy_open_sessions,smtp"] == 2
    assert found["filterproxy_scan_seconds_count,smtp"] == 4
