#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The example configuration runs as it stands, but for what it marks as the reader's own."""

import json
import re
import sys
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from opensips import case, server, sip  # noqa: E402


class ExampleConfig(server.Config):
    """docs/examples/cdr.cfg with this machine's places, and MI for the tests."""

    def __init__(self, tree, module, spool, bootstrap):
        super().__init__(tree, module, "", spool=spool)
        self.bootstrap = bootstrap

    def text(self):
        text = (ROOT / "docs" / "examples" / "cdr.cfg").read_text(encoding="utf-8")
        own = {
            r"udp:127\.0\.0\.1:5060": f"udp:127.0.0.1:{self.sip_port}",
            r'mpath=".*"': f'mpath="{self.tree.path}/modules/"\nloadmodule "mi_datagram.so"\n'
            f'modparam("mi_datagram", "socket_name", "udp:127.0.0.1:{self.mi_port}")',
            r'"event_kafka\.so"': f'"{self.module}"',
            r"/var/spool/opensips/kafka": str(self.spool),
            r"127\.0\.0\.1:9092": self.bootstrap,
        }
        for pattern, replacement in own.items():
            text, count = re.subn(pattern, replacement, text)
            assert count == 1, f"{pattern} stands {count} times in the example"
        return text


class Call:
    """A call through the proxy to a callee, as far as a CDR needs it."""

    def __init__(self, client, callee, callid):
        self.client = client
        self.callee = callee
        self.callid = callid
        self.to = f"<sip:200@127.0.0.1:{callee.port}>"
        self.route = ()

    def send(self, method, number):
        cseq = 1 if method == "ACK" else number
        lines = [
            f"{method} sip:200@127.0.0.1:{self.callee.port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.client.port};branch=z9hG4bK{self.callid}{number}{method}",
            "From: <sip:alice@127.0.0.1>;tag=a",
            f"To: {self.to}",
            f"Call-ID: {self.callid}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:alice@127.0.0.1:{self.client.port}>",
            *self.route,
            "Content-Length: 0",
        ]
        self.client.socket.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    def answer(self, method):
        """The message with the final status of a request."""
        self.client.socket.settimeout(case.PATIENCE_S)
        while True:
            message = self.client.socket.recv(sip.DATAGRAM_BYTES).decode()
            is_final = re.match(r"SIP/2\.0 [2-6]", message)
            if is_final and sip.header(message, "CSeq").endswith(method):
                return message

    def run(self):
        """The whole call. Returns the status of its BYE."""
        self.send("INVITE", 1)
        answer = self.answer("INVITE")
        self.to = sip.header(answer, "To")
        self.route = [f"Route: {sip.header(answer, 'Record-Route')}"]
        self.send("ACK", 1)
        # The module acc drops the CDR of a call that ends before it has looked at its answer.
        time.sleep(0.3)
        self.send("BYE", 2)
        return self.answer("BYE").split()[1]


class Example(case.Case):
    topics = {"cdrs": 4}

    def start(self):
        config = ExampleConfig(self.tree, self.tree.ours(), self.spool, self.embedded.bootstrap)
        one = server.Server(self.folder, config)
        self.servers.append(one)
        return one.start()

    def test_each_call_is_a_record_also_through_an_outage_and_a_restart(self):
        if not self.tree.has("json") or self.tree.version < (3, 6):
            self.skipTest(f"not here: {self.tree} has no module json, or is before 3.6")
        self.start_broker()
        self.expected_lines = ["brokers_down"]
        callee = sip.Callee()
        self.addCleanup(callee.close)
        one = self.start()
        self.assertEqual(Call(self.client(one), callee, "first").run(), "200")
        self.wait_records(1)
        self.embedded.command("down all")
        self.assertEqual(Call(self.client(one), callee, "second").run(), "200")
        # OpenSIPS runs event routes a moment later.
        self.wait(lambda: one.statistic("appended_cdr") == 2, "the CDR is accepted")
        self.stop(one)
        two = self.start()
        self.embedded.command("up all")
        records = self.wait_records(2)
        cdrs = {each.key.decode(): json.loads(each.payload) for each in records}
        self.assertEqual(sorted(cdrs), ["first", "second"])
        for callid, cdr in cdrs.items():
            self.assertEqual(cdr["callid"], callid)
            self.assertEqual(cdr["caller"], "alice")
            self.assertEqual(cdr["callee"], "200")
            self.assertEqual(str(cdr["sip_code"]), "200")
        self.wait(lambda: two.statistic("reports_run_cdr") == 2, "both reports have run")
        self.stop(two)


if __name__ == "__main__":
    unittest.main()
