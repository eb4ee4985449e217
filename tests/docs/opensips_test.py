#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The documents' configurations start a real OpenSIPS, and their commands for it work. Without a built
tree it says that it skips them. SPOOL_BUILD_DIR names a folder that the module was built in.
"""

import os
import re
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "docs")]

from blocks_test import blocks  # noqa: E402
from harness import process  # noqa: E402
from markdown import Document, spans  # noqa: E402
from opensips import case, server, sip  # noqa: E402
from sandbox import Sandbox  # noqa: E402

# Where a statement stands that is no part of a route.
TOP = re.compile(r"(loadmodule|modparam|(startup_|event_)?route\b)")

# opensips-cli with what the documents use of it: the command's words, or name=value, over MI.
CLI = """\
#!{python}
import json, socket, sys
words = sys.argv[1:]
assert words[:2] == ["-x", "mi"], words
method, words = words[2], words[3:]
request = {{"jsonrpc": "2.0", "id": 1, "method": method}}
if words and all("=" in each for each in words):
    request["params"] = dict(each.split("=", 1) for each in words)
elif words:
    request["params"] = [words] if method == "get_statistics" else words
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(20)
client.connect(("127.0.0.1", {port}))
client.send(json.dumps(request).encode())
answer = json.loads(client.recv(1 << 16))
print(json.dumps(answer.get("result", answer.get("error")), indent=4))
sys.exit("error" in answer)
"""


def split(text):
    """(what stands outside of routes, statements of a route) of a fragment of a configuration."""
    outside, inside = [], []
    depth, target = 0, outside
    for line in text.splitlines():
        if line.strip() == "...":
            continue
        if depth == 0:
            target = outside if TOP.match(line) or not line.strip() else inside
        target.append(line)
        depth += line.count("{") - line.count("}")
    return "\n".join(outside), "\n".join(inside)


def whole(text):
    """A fragment with what it leaves out, as far as it uses it: destinations, routes."""
    outside, inside = split(text.replace('loadmodule "event_kafka.so"\n', ""))
    for name in set(re.findall(r'kafka_publish\("(\w+)"', text)):
        if f'"[{name}]' not in text:
            line = f'modparam("event_kafka", "broker_id", "[{name}]kafka1:9092/{name}")'
            outside = f"{line}\n{outside}"
    routes = set(re.findall(r'kafka_publish\("\w+", [^;]*?, "(\w+)"[,)]', text))
    for name in sorted(each for each in routes if f"route[{each}]" not in text):
        outside += f"\nroute[{name}] {{ exit; }}"
    if not re.search(r"^route \{", outside, re.MULTILINE):
        outside += f"\nroute {{\n{inside}\nexit;\n}}"
        inside = ""
    assert not inside, inside
    return outside


class Configurations(case.Case):
    def test_each_starts(self):
        found = list(blocks("opensips"))
        self.assertTrue(found)
        with ThreadPoolExecutor(2) as pool:
            running = [(block, pool.submit(self.start, block)) for block in found]
        for block, result in running:
            with self.subTest(block=str(block)):
                result.result()

    def start(self, block):
        """Not only its syntax: routes, properties and parameters are looked at when it starts."""
        folder = self.folder / f"{Path(block.path).stem}-{block.line}"
        folder.mkdir()
        text = whole(block.text).replace("kafka1:9092", "127.0.0.1:1").replace("kafka2", "localhost")
        spool = None if '"spool_dir"' in text else folder / "spool"
        text = text.replace("/var/spool/opensips", str(folder))
        for name in re.findall(r'loadmodule "(\w+)\.so"', text):
            if not self.tree.has(name):
                self.skipTest(f"not here: {self.tree} has no module {name}")
        if "httpd" in text:
            (port,) = process.free_ports(1)
            text += f'\nmodparam("httpd", "port", {port})\n'
        config = server.Config(
            self.tree, self.tree.ours(), text, spool=spool, modules=["sipmsgops"]
        )
        one = server.Server(folder, config)
        self.servers.append(one)
        one.start()
        process.wait_until(
            lambda: one.statistic("kafka:serving") == 1, case.PATIENCE_S, "the spool is open"
        )
        bad = one.bad_lines(["E_ACC_CDR", case.OUTAGE])
        code = one.terminate()
        self.assertEqual((bad, code), ([], 0), one.log()[-3000:])


class Migration(case.Case):
    """What the table says of properties."""

    def is_refused(self, properties):
        address = f'"[k1]127.0.0.1:1/t?{properties}"'
        config = self.config("", parameters=f'modparam("event_kafka", "broker_id", {address})\n')
        path = self.folder / "checked.cfg"
        path.write_text(config.text(), encoding="utf-8")
        command = [self.tree.binary, "-C", "-f", path]
        environment = server.Server(self.folder, config).env
        ran = subprocess.run(command, env=environment, capture_output=True, check=False)
        return ran.returncode != 0

    def test_properties(self):
        section = Document("docs/opensips-module.md").section("## Migration from the stock module")
        rows = [line for line in section.splitlines() if re.match(r"\|.*`[gt]\.\S+=", line)]
        self.assertGreater(len(rows), 2)
        for row in rows:
            for properties in re.findall(r"`([gt]\.[^`]+=[^`]+)`", row.split("|")[1]):
                with self.subTest(properties=properties):
                    is_refused = self.is_refused(properties)
                    self.assertEqual(is_refused, "**refused**" in row)
                    for instead in re.findall(r"`([gs]\.[^`]+=[^`]+)`", row.split("|")[3]):
                        together = f"{properties}&{instead}" if is_refused else instead
                        self.assertFalse(self.is_refused(together), together)


class Commands(case.Case):
    """What the guide does with a running module."""

    script = """
    route {
        kafka_publish("cdr", $rb, $ci);
        sl_send_reply(200, "OK");
    }
    """

    def test_each_command(self):
        self.start_broker(topics={"cdrs": 4})
        parameters = self.broker_id(topic="cdrs", name="cdr")
        one = self.server(self.script, parameters=parameters)
        self.embedded.command("error Produce 3 MSG_SIZE_TOO_LARGE")
        self.expected_lines.append("dead")
        self.assertEqual(self.client(one).send(sip.Request("MESSAGE", "one")), 200)
        for block in blocks("sh"):
            if block.scene == "opensips":
                with self.subTest(block=str(block)), Sandbox() as sandbox:
                    port = one.config.mi_port
                    sandbox.tool("opensips-cli", CLI, python=sys.executable, port=port)
                    sandbox.run(block.text)
        self.assert_members_documented(one)
        self.stop(one)

    def assert_members_documented(self, one):
        """Each member of the commands' answers is named in the guide."""
        self.assertEqual(self.client(one).send(sip.Request("MESSAGE", "two")), 200)
        one.mi("kafka_pause", "cdr")
        self.wait(lambda: one.statistic("kafka:paused") == 1, "it is paused")
        self.assertEqual(self.client(one).send(sip.Request("MESSAGE", "three")), 200)
        answers = [one.mi("kafka_status"), one.mi("kafka_list", "cdr"), one.mi("kafka_flush")]
        answers += [one.mi("kafka_resume", "cdr"), one.mi("kafka_drop", "cdr", "waiting")]
        answers += [answers[0]["all"], *answers[0]["destinations"], *answers[1]["records"]]
        self.assertTrue(answers[1]["records"])
        guide = Document("docs/opensips-module.md")
        named = set(spans(guide.section("## MI commands") + guide.section("## Statistics")))
        members = {name for each in answers for name in each}
        self.assertEqual(sorted(members - named), [])

    def test_build(self):
        """In the tests' own build tree, where there is nothing left to do."""
        where = os.path.abspath(os.environ["SPOOL_BUILD_DIR"])
        (block,) = [each for each in blocks("sh") if each.scene == "build"]
        with Sandbox() as sandbox:
            sandbox.more_replacements = [
                ("tests/install-dependencies", f"{TESTS}/install-dependencies"),
                (" -o opensips -g opensips", ""),
                ("-S .", f"-S {TESTS.parent}"),
                ("-B build", f"-B {where}"),
                ("--build build", f"--build {where}"),
                (" build/", f" {where}/"),
                ("/usr/src/opensips", str(self.tree.path)),
            ]
            modules = sandbox.path("/usr/lib/x86_64-linux-gnu/opensips/modules")
            modules.mkdir(parents=True)
            sandbox.run(block.text)
            self.assertEqual(
                (modules / "event_kafka.so").read_bytes(), self.tree.ours().read_bytes()
            )


if __name__ == "__main__":
    unittest.main()
