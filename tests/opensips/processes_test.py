# SPDX-License-Identifier: GPL-2.0-or-later
"""
Publishing from every route and every process, under the allocators, as another user, in a chroot,
with auto-scaling, while routes are reloaded, and through event_virtual.
"""

import json
import os
import pwd
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opensips import case, load, sip  # noqa: E402

# A publish in each route, with the route's name as its key.
ROUTES = """
startup_route { kafka_publish("k1", "x", "startup", "report"); }
timer_route[each_second, 1] { kafka_publish("k1", "x", "timer", "report"); }
event_route[E_TEST] { kafka_publish("k1", "x", "event", "report"); }
error_route { kafka_publish("k1", "x", "error", "report"); }
local_route { kafka_publish("k1", "x", "local", "report"); }
route {
    if (is_method("ACK"))
        exit;
    kafka_publish("k1", "x", "request", "report");
    if (is_method("INFO")) {
        raise_event("E_TEST");
        sl_send_reply(200, "OK");
        exit;
    }
    t_on_branch("branch");
    t_on_reply("reply");
    t_on_failure("failure");
    $du = "sip:127.0.0.1:CALLEE";
    t_relay();
}
branch_route[branch] { kafka_publish("k1", "x", "branch", "report"); }
onreply_route[reply] {
    if ($rs >= 180)
        kafka_publish("k1", "x", "reply", "report");
}
failure_route[failure] { kafka_publish("k1", "x", "failure", "report"); }
route[report] { xlog("REPORT $avp(kafka_status) $avp(kafka_key)\\n"); }
"""
ALL_ROUTES = {
    *("startup", "timer", "event", "error", "request"),
    *("branch", "reply", "failure"),
}
PUBLISH = """
route {
    if (kafka_publish("k1", $rb, $ci, "report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(503, "$avp(kafka_error)");
}
route[report] { xlog("REPORT $avp(kafka_status) $avp(kafka_key)\\n"); }
"""
BROKEN = (
    "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKbroken\r\n"
    "From: broken <\r\nTo: <\r\nCall-ID: broken\r\nCSeq: x\r\n\r\n"
)
NOBODY = pwd.getpwnam("nobody")


class EveryRoute(case.Case):
    def routes(self, **options):
        self.start_broker()
        callee = sip.Callee()
        self.addCleanup(callee.close)
        # A broken message is complained of, and so is a route of an event that has none.
        self.expected_lines.append(r"ERROR:(core|tm):")
        options.setdefault("modules", ["sipmsgops"])
        script = ROUTES.replace("CALLEE", str(callee.port))
        one = self.server(script, parameters=self.broker_id(), **options)
        client = self.client(one)
        requests = [
            sip.Request("INFO"),
            sip.Request("MESSAGE", user="200"),
            sip.Request("INVITE", user="486"),
        ]
        self.assertEqual(client.send_all(requests), [200, 200, 486])
        client.socket.send(BROKEN.encode())
        # "by MI": the event's route runs in a worker, the event in the MI process.
        one.mi("raise_event", "E_TEST")

        def have_all_come():
            return ALL_ROUTES <= {each.key.decode() for each in self.embedded.records()}

        try:
            self.wait(have_all_come, "a record of each route")
        except TimeoutError:
            missing = ALL_ROUTES - {each.key.decode() for each in self.embedded.records()}
            self.fail(f"nothing came from {missing}:\n{one.log()[-3000:]}")
        for name in ALL_ROUTES:
            self.wait_logged(one, f"REPORT 0 {name}")
        self.stop(one)

    def test_f_malloc(self):
        self.routes(options=["-a", "F_MALLOC"])

    def test_q_malloc_dbg(self):
        self.routes(options=["-a", "Q_MALLOC_DBG"])

    @case.long_only
    def test_hp_malloc(self):
        self.routes(options=["-a", "HP_MALLOC"])


class Users(case.Case):
    def test_as_nobody(self):
        """The spool is made as the user that OpenSIPS runs as."""
        self.start_broker()
        parent = self.folder / "var"
        parent.mkdir()
        os.chown(parent, NOBODY.pw_uid, NOBODY.pw_gid)
        spool = parent / "spool" / "kafka"
        one = self.server(
            PUBLISH,
            parameters=self.broker_id(),
            spool=spool,
            options=["-u", "nobody", "-g", "nogroup"],
        )
        self.assertEqual(self.client(one).send(sip.Request("MESSAGE", "x")), 200)
        self.wait_logged(one, "REPORT 0")
        for path in (spool, *spool.iterdir()):
            self.assertEqual(path.stat().st_uid, NOBODY.pw_uid, path)
            self.assertEqual(path.stat().st_mode & 0o007, 0, path)
        self.stop(one)

    def test_as_nobody_without_a_folder(self):
        self.start_broker()
        one = self.server(
            PUBLISH,
            parameters=self.broker_id(),
            spool="/proc/nowhere",
            options=["-u", "nobody", "-g", "nogroup"],
            start=False,
        )
        one.launch()
        self.wait(lambda: not one.is_alive(), "it refuses to start")
        self.assertRegex(one.log(), r"event_kafka:\w+: spool_dir: /proc/nowhere")

    def test_in_a_chroot(self):
        """"-t" on a machine with all of it below another root: its own is bound there."""
        self.start_broker()
        root = self.folder / "root"
        root.mkdir()
        inside = Path("/var") / f"kafka-spool-test-{os.getpid()}"
        bind = (
            f"mount --rbind / {root} && mount -t tmpfs tmpfs {root}/var && exec \"$@\""
        )
        one = self.server(
            PUBLISH,
            parameters=self.broker_id(),
            spool=inside / "spool",
            before=["unshare", "--mount", "sh", "-c", bind, "sh"],
            options=["-t", root],
            start=False,
        )
        allowed = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
        if allowed.returncode != 0:
            self.skipTest("not here: no mount namespaces")
        one.start()
        self.assertEqual(self.client(one).send(sip.Request("MESSAGE", "x")), 200)
        self.wait_logged(one, "REPORT 0")
        held = Path(f"/proc/{one.process_ids('Kafka')[0]}/root{inside}/spool/data.mdb")
        self.assertTrue(held.is_file(), held)
        self.stop(one)


@case.long_only
class AutoScaling(case.Case):
    profile = """
    auto_scaling_profile = CROWD
        scale up to 6 on 30% for 2 cycles within 3
        scale down to 1 on 10% for 3 cycles
    """
    script = """
    route {
        if (is_method("MESSAGE"))
            async(kafka_publish("k1", $rb, $ci), resumed);
        if (kafka_publish("k1", $rb, $ci))
            sl_send_reply(200, "OK");
    }
    route[resumed] {
        if ($rc > 0)
            t_reply(200, "OK");
        else
            t_reply(503, "$avp(kafka_error)");
    }
    """

    def workers(self, one):
        return len(one.process_ids("SIP receiver"))

    def test_up_and_down(self):
        self.start_broker()
        one = self.server(
            self.script,
            parameters=self.broker_id(),
            modules=["sipmsgops"],
            workers=1,
            settings=self.profile,
            socket_options=" use_workers 1 use_auto_scaling_profile CROWD",
            # tm keeps each transaction for some seconds.
            shm_mb=1024,
        )
        total = 0
        for number in range(2):
            most = 1
            traffic = [
                load.Load(
                    one.config.sip_port,
                    self.folder / f"load-{method}.log",
                    **{"method": method, "seconds": 8, "outstanding": 24, "body": 200},
                    prefix=f"{method}{number}",
                )
                for method in ("MESSAGE", "OPTIONS")
            ]
            while any(each.program.is_alive() for each in traffic):
                most = max(most, self.workers(one))
                time.sleep(0.2)
            for each in traffic:
                figures = each.finish()
                self.assertEqual(figures["answered"], figures["sent"], figures)
                total += figures["sent"]
            self.assertGreater(most, 1, "it was not scaled up")
            self.wait(lambda: self.workers(one) == 1, "it is scaled down again")
        self.assertEqual(self.client(one).send(sip.Request("OPTIONS", "x")), 200)
        self.wait_records(total + 1, timeout_s=120)
        self.stop(one)


class ReloadedRoutes(case.Case):
    def test_while_publishing(self):
        """Routes are read again and again, a report route is renamed, and nothing is lost."""
        self.start_broker()
        self.expected_lines.append("the report route renamed")
        extra = "route[renamed] { exit; }\n"
        one = self.server(PUBLISH + extra, parameters=self.broker_id())
        traffic = load.Load(
            one.config.sip_port, self.folder / "load.log", seconds=7, outstanding=8, body=200
        )
        # OpenSIPS 3.5 waits a minute for a process that was still starting.
        time.sleep(1)
        reloads = 0
        while traffic.program.is_alive():
            # Another order, so that each route has another number than before.
            text = one.config.text()
            first, second = text.index("route {"), text.index(extra)
            swapped = text[:first] + extra + text[first:second] + text[second + len(extra) :]
            one.config_path.write_text(swapped if reloads % 2 == 0 else text, encoding="utf-8")
            one.mi("reload_routes")
            reloads += 1
            time.sleep(0.3)
        figures = traffic.finish()
        self.assertEqual(figures["answered"], figures["sent"])
        self.assertGreater(reloads, 5)
        self.wait_logged(one, "REPORT 0", figures["sent"])
        self.wait_records(figures["sent"])
        self.stop(one)

    def test_a_report_route_that_is_gone(self):
        self.start_broker().command("down all")
        self.expected_lines += [case.OUTAGE, "the report route report does not exist any more"]
        one = self.server(PUBLISH, parameters=self.broker_id())
        self.assertEqual(self.client(one).send(sip.Request("MESSAGE", "x")), 200)
        one.config.script = 'route { sl_send_reply(200, "OK"); }\n'
        one.config_path.write_text(one.config.text(), encoding="utf-8")
        one.mi("reload_routes")
        self.embedded.command("up all")
        self.wait_logged(one, "does not exist any more")
        self.wait(lambda: one.statistic("kafka:reports_without_route") == 1, "it is counted")
        self.wait(lambda: one.statistic("kafka:report_records") == 0, "it is not kept for ever")
        self.stop(one)


class Virtual(case.Case):
    """event_virtual with two sockets: the first one takes what it can."""

    topics = {"t": 1, "first": 1, "second": 1}
    script = """
    startup_route { subscribe_event("E_TEST", "virtual:%s"); }
    route {
        $avp(name) = "number";
        $avp(value) = $rb;
        raise_event("E_TEST", $avp(name), $avp(value));
        sl_send_reply(200, "OK");
    }
    """

    def sockets(self, policy, first="first", second="second", first_properties=""):
        bootstrap = self.embedded.bootstrap
        return (
            f"{policy} kafka:{bootstrap}/{first}?{case.QUICK}{first_properties}"
            f" kafka:{bootstrap}/{second}?{case.QUICK}"
        )

    def raise_events(self, one, count):
        """The first one alone: event_virtual reads its sockets then, and has no lock for that."""
        client = self.client(one)
        requests = [sip.Request("MESSAGE", str(number)) for number in range(count)]
        statuses = [client.send(requests[0]), *client.send_all(requests[1:])]
        self.assertEqual(set(statuses), {200})

    def counts(self):
        topics = [each.topic for each in self.embedded.records()]
        return topics.count("first"), topics.count("second")

    def test_failover_stays_with_the_first(self):
        self.start_broker()
        one = self.server(self.script % self.sockets("FAILOVER"), modules=["event_virtual"])
        self.raise_events(one, 50)
        self.wait(lambda: self.counts()[0] >= 50, "all events")
        self.assertEqual(self.counts(), (50, 0))
        self.stop(one)

    def test_failover_to_the_second_when_the_first_is_full(self):
        self.start_broker()
        self.expected_lines += [case.OUTAGE, "event_virtual", "evi", "refused"]
        self.embedded.command("topic-error first UNKNOWN_TOPIC_OR_PART")
        sockets = self.sockets("FAILOVER", first_properties="&s.max.records=10")
        one = self.server(self.script % sockets, modules=["event_virtual"])
        self.raise_events(one, 50)
        self.wait(lambda: self.counts()[1] >= 40, "the events that the first did not take")
        self.assertEqual(self.counts(), (0, 40))
        numbers = {
            json.loads(each.payload)["params"]["number"] for each in self.embedded.records()
        }
        self.assertEqual(len(numbers), 40)
        self.stop(one)

    def test_parallel_and_round_robin(self):
        self.start_broker()
        for policy, wanted in (("PARALLEL", (20, 20)), ("ROUND-ROBIN", (30, 30))):
            with self.subTest(policy=policy):
                one = self.server(self.script % self.sockets(policy), modules=["event_virtual"])
                self.raise_events(one, 20)
                self.wait(lambda: sum(self.counts()) >= sum(wanted), "all events")
                self.assertEqual(self.counts(), wanted)
                self.stop(one)


if __name__ == "__main__":
    unittest.main()
