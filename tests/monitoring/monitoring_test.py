# SPDX-License-Identifier: GPL-2.0-or-later
"""The alert rules and the dashboard: held by promtool, and asked of a real Prometheus."""

import json
import re
import subprocess
import sys
import unittest
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import process  # noqa: E402
from monitoring import prometheus  # noqa: E402
from opensips import case, sip, tree  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "packaging/prometheus/alerts.yml"
RULE_TESTS = ROOT / "packaging/prometheus/alerts.test.yml"
DASHBOARD = ROOT / "packaging/grafana/kafka-spool.json"

# What Grafana puts in, with everything chosen; the test's Prometheus looks each second.
CHOSEN = {
    "$instance": ".*",
    "$destination": ".*",
    "$__rate_interval": "10s",
    ":1m]": ":1s]",
}


def dashboard_queries():
    """(title of the panel, query) of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in CHOSEN.items():
                query = query.replace(name, value)
            yield panel["title"], query


def metric_names(text):
    """kafka_spool_* as they stand in a text."""
    return set(re.findall(r"\bkafka_spool_[a-z_]+[a-z]", text))


class RulesTest(unittest.TestCase):
    def promtool(self, *arguments):
        result = subprocess.run(
            ["promtool", *arguments],
            cwd=RULES.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_rules_can_be_read(self):
        self.promtool("check", "rules", RULES.name)

    def test_alerts_fire_when_they_should(self):
        self.promtool("test", "rules", RULE_TESTS.name)

    def test_every_alert_has_a_test_that_makes_it_fire(self):
        alerts = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
        fired = re.findall(
            r"alertname: (\w+)\n +exp_alerts:\n", RULE_TESTS.read_text(encoding="utf-8")
        )
        self.assertEqual(sorted(set(fired)), sorted(alerts))

    def test_figures_are_documented(self):
        documented = metric_names((ROOT / "docs/metrics.md").read_text(encoding="utf-8"))
        for path in (RULES, DASHBOARD):
            with self.subTest(path=path.name):
                self.assertEqual(metric_names(path.read_text(encoding="utf-8")) - documented, set())


class DashboardTest(case.Case):
    """Each query of the dashboard finds something beside an OpenSIPS under load."""

    topics = {"t": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("httpd", "prometheus"):
            if not tree.main().has(name):
                raise unittest.SkipTest(f"not here: {tree.main()} has no {name}")

    def start_opensips(self):
        self.start_broker()
        (port,) = process.free_ports(1)
        parameters = self.broker_id() + f"""
modparam("httpd", "ip", "127.0.0.1")
modparam("httpd", "port", {port})
modparam("prometheus", "statistics", "kafka:")
modparam("prometheus", "group_mode", 1)
"""
        script = """
route {
    kafka_publish("k1", "a record", "a key");
    sl_send_reply(200, "OK");
}
"""
        one = self.server(script, parameters=parameters, modules=["httpd", "prometheus"])
        return one, f"127.0.0.1:{port}"

    def test_queries_find_something(self):
        one, opensips = self.start_opensips()
        exporter = prometheus.Exporter(
            process.program("spool-inspect"), "metrics", "--spool", self.spool
        )
        self.addCleanup(exporter.close)
        server = prometheus.Prometheus(
            self.folder, {"opensips": opensips, "spool": exporter.target}
        )
        self.addCleanup(server.close)
        client = self.client(one)
        for _ in range(5):
            client.send(sip.Request())
        self.wait_drained(one)
        server.wait_query("opensips_kafka_delivered >= 5")
        server.wait_query("kafka_spool_delivered_total >= 5")
        for title, query in dashboard_queries():
            with self.subTest(panel=title):
                self.assertTrue(server.wait_query(query), query)
        delivered = dict(
            (labels["job"], value)
            for labels, value in server.query(
                "kafka_spool_delivered_total or opensips_kafka_delivered"
            )
        )
        self.assertEqual(delivered, {"spool": 5, "opensips": 5})
        self.assert_documented(one, exporter.target)
        self.stop(one)

    def assert_documented(self, one, target):
        """What spool-inspect shows is what docs/metrics.md says, name by name."""
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=30) as page:
            shown = metric_names(page.read().decode())
        self.assertEqual(
            shown, metric_names((ROOT / "docs/metrics.md").read_text(encoding="utf-8"))
        )


if __name__ == "__main__":
    unittest.main()
