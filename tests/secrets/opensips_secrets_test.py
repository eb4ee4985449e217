# SPDX-License-Identifier: GPL-2.0-or-later
"""
A canary in every secret property of the OpenSIPS module: not in its log at the debug level, in no
answer of MI, in no event, in no file of the spool, in no core file of a SIP worker.
"""

import json
import os
import re
import signal
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import canary, process, secret_case  # noqa: E402
from harness.secret_case import DEBUG, NOBODY, SECRET, VISIBLE  # noqa: E402
from opensips import case, server, sip  # noqa: E402

# Debug lines of OpenSIPS itself repeat its configuration, and what MI is told; ours do not.
OPENSIPS_DEBUG = re.compile(r".* DBG:(?!event_kafka)")
SCRIPT = """
startup_route { subscribe_event("E_TEST", "kafka:%s/events?%s"); }
route {
    raise_event("E_TEST");
    if (kafka_publish($rU, $rb, $ci, "report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(503, "$avp(kafka_error)");
}
route[report] { xlog("REPORT $avp(kafka_status) $avp(kafka_error) $avp(kafka_msg)\\n"); }
event_route[E_KAFKA_DOWN] { xlog("DOWN $param(destination) $param(reason)\\n"); }
event_route[E_KAFKA_DEAD] { xlog("DEAD $param(destination) $param(reason)\\n"); }
"""
CORE_S = 60


class ModuleSecrets(secret_case.SecretsMixin, case.Case):
    def modparam(self, name, properties):
        quoted = properties.replace('"', '\\"')
        return f'modparam("event_kafka", "broker_id", "[{name}]{NOBODY}/t?{DEBUG}&{quoted}")\n'

    def start_with(self, groups, socket, **options):
        """Brokers k0, k1, ... with these properties, and an event socket."""
        parameters = "".join(self.modparam(f"k{i}", each) for i, each in enumerate(groups))
        return self.server(SCRIPT % (NOBODY, socket), parameters=parameters, **options)

    def our_log(self, one):
        lines = one.log().splitlines()
        return "\n".join(each for each in lines if not OPENSIPS_DEBUG.match(each))

    def ask(self, one, *words):
        """What MI answers, also when it refuses."""
        try:
            return json.dumps(one.mi(*words))
        except server.MiError as refused:
            return str(refused)

    def ask_everything(self, one, identities):
        commands = ["kafka_status", "kafka_flush", "subscribers_list", "events_list", "ps"]
        commands += ["sr_list_status", "sr_list_reports", "sr_list_identifiers"]
        said = [self.ask(one, each) for each in commands]
        said += [self.ask(one, "get_statistics", ["kafka:"]), self.ask(one, "list_statistics")]
        for identity in identities:
            said += [self.ask(one, f"kafka_{each}", identity) for each in ("status", "list")]
            said.append(self.ask(one, "kafka_list", identity, "dead"))
            said += [self.ask(one, f"kafka_{each}", identity) for each in ("pause", "resume")]
            said += [self.ask(one, f"kafka_{each}", identity) for each in ("requeue", "flush")]
        return said

    def publish_to_each(self, one, count):
        client = self.client(one)
        requests = [sip.Request("MESSAGE", f"body {i}", user=f"k{i}") for i in range(count)]
        self.assertEqual(client.send_all(requests), [200] * count)

    def test_properties_in_each_way(self):
        groups = [*self.groups(), *self.failing_groups()[:3]]
        plain = f"{secret_case.PLAIN}&{self.ways('sasl.username')[0]}"
        socket = f"{DEBUG}&{plain}&{self.ways('sasl.password')[1]}"
        one = self.start_with(groups, socket, log_level=4)
        self.publish_to_each(one, len(groups))
        self.wait_logged(one, "DOWN")
        other = f"kafka:{NOBODY}/other?{DEBUG}&{plain}&g.sasl.password={SECRET}"
        subscribed = self.ask(one, "event_subscribe", "E_KAFKA_UP", other)
        again = self.ask(one, "event_subscribe", "E_KAFKA_UP", other + "wrong")
        unknown = self.ask(one, "event_subscribe", "E_KAFKA_UP", other + "&g.no.such=1")
        names = [f"k{i}" for i in range(len(groups))]
        said = self.ask_everything(one, names)
        self.assert_kept(*said, subscribed, again, unknown, self.our_log(one))
        self.assertIn(VISIBLE, said[0])
        self.assertIn("Unrecognized sasl.oauthbearer.config", said[0])
        one.kill9()

    def test_what_is_refused_at_the_start(self):
        for address in secret_case.wrong_addresses():
            quoted = address.replace('"', '\\"')
            parameter = f'modparam("event_kafka", "broker_id", "{quoted}")\n'
            one = self.server("route { exit; }", parameters=parameter, start=False)
            with self.subTest(address), self.assertRaises(server.StartError):
                one.start()
            with self.subTest(address):
                self.assertIn("ERROR:event_kafka", one.log())
                self.assert_kept(self.our_log(one))

    def test_a_planted_leak_is_found(self):
        one = self.start_with([f"g.client.rack={SECRET}"], DEBUG)
        self.assertTrue(canary.leaks(self.ask(one, "kafka_status"), self.secrets))
        one.kill9()

    # --- Core files

    def core_of(self, one, pid):
        """The core file of one process, which ends them all."""
        os.kill(pid, signal.SIGABRT)
        process.wait_until(lambda: not one.is_alive(), CORE_S, "OpenSIPS ends")
        one.kill9()
        (core,) = one.core_files()
        content = core.read_bytes()
        core.unlink()
        return content

    def test_core_files(self):
        """
        With secrets in files, only the Kafka process's core has them, as librdkafka does. (The text of
        the configuration is in every process: a secret in it is, too.)
        """
        pattern = Path("/proc/sys/kernel/core_pattern").read_text("ascii").strip()
        if pattern.startswith("|") or "/" in pattern:
            self.skipTest(f"core files go elsewhere here: {pattern}")
        ways = f"{self.ways('sasl.username')[1]}&{self.ways('sasl.password')[1]}"
        group = f"{secret_case.PLAIN}&{ways}"
        found = {}
        for name in ("SIP receiver", "Kafka"):
            one = self.start_with([group], f"{DEBUG}&{group}")
            self.publish_to_each(one, 1)
            # Again, so that a worker compares the secrets.
            one.mi("event_subscribe", "E_TEST", f"kafka:{NOBODY}/events?{DEBUG}&{group}")
            core = self.core_of(one, one.process_ids(name)[0])
            self.assertIn(VISIBLE.encode(), core)
            found[name] = bool(canary.leaks(core, self.secrets))
        self.assertEqual(found, {"SIP receiver": False, "Kafka": True})


if __name__ == "__main__":
    unittest.main()
