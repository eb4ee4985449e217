#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Code and documents name the same things, both ways: whatever a user can write or see is in the
documents, and whatever they name is there. SPOOL_BUILD_DIR names a folder with the programs.
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "check"), str(TESTS / "docs")]

import sayings  # noqa: E402
from harness import forward, process  # noqa: E402
from markdown import ROOT, Document, documents, first_cells, spans  # noqa: E402
from source import Source, Tree  # noqa: E402

GUIDE = "docs/opensips-module.md"
MESSAGES = "docs/messages.md"
METRICS = "docs/metrics.md"
OPERATIONS = "docs/operations.md"
ALERTS = "packaging/prometheus/alerts.yml"


def code(path):
    return (ROOT / path).read_text(encoding="utf-8")


def between(text, begin, end):
    return text[text.index(begin) : text.index(end, text.index(begin))]


def strings(text):
    return re.findall(r'"([^"\n]*)"', text)


def outcomes():
    """The words of $avp(kafka_error) that a publish can come to."""
    return set(re.findall(r"\[OUTCOME_\w+\]\s*=\s*\{\s*\"(\w+)\"", code("spool/outcome.c"))) - {
        "accepted"
    }


def counters():
    return set(strings(between(code("spool/counters.c"), "names[COUNTER_COUNT]", "};")))


class Names(unittest.TestCase):
    maxDiff = None

    def assert_same(self, in_code, in_documents):
        in_code, in_documents = set(in_code), set(in_documents)
        self.assertEqual(sorted(in_code - in_documents), [], "in the code, not in the documents")
        self.assertEqual(sorted(in_documents - in_code), [], "in the documents, not in the code")
        self.assertTrue(in_code)


class Module(Names):
    """What the admin guide says of the OpenSIPS module."""

    @classmethod
    def setUpClass(cls):
        cls.guide = Document(GUIDE)

    def names_of_headings(self, section):
        return re.findall(r"^### `(\w+)", self.guide.section(section), re.MULTILINE)

    def test_parameters(self):
        table = between(code("src/opensips/event_kafka.c"), "parameters[] = {", "};")
        self.assert_same(re.findall(r'\{"(\w+)"', table), self.names_of_headings("## Parameters"))

    def test_types_of_parameters(self):
        table = between(code("src/opensips/event_kafka.c"), "parameters[] = {", "};")
        for name, flags in re.findall(r'\{"(\w+)", ([\w |]+),', table):
            types = [word for word in ("INT", "STR") if f"{word}_PARAM" in flags]
            wanted = " or ".join({"INT": "integer", "STR": "string"}[each] for each in types)
            self.assertIn(f"### `{name}` ({wanted})", self.guide.text)

    def test_each_parameter_has_its_default_and_an_example(self):
        for name in self.names_of_headings("## Parameters"):
            heading = re.search(rf"^### `{name}`.*$", self.guide.text, re.MULTILINE)[0]
            section = self.guide.section(heading)
            with self.subTest(parameter=name):
                self.assertRegex(section, r"\*(Default: |No default)")
                self.assertIn(f'modparam("event_kafka", "{name}"', section)

    def test_functions(self):
        module = code("src/opensips/event_kafka.c")
        table = between(module, "functions[] = {", "};")
        self.assert_same(re.findall(r'\{"(\w+)"', table), self.names_of_headings("## Functions"))
        table = between(module, "async_functions[] = {", "};")
        section = self.guide.section("## Asynchronous functions")
        self.assert_same(
            re.findall(r'\{"(\w+)"', table), re.findall(r"^### `async\((\w+)", section, re.M)
        )

    def test_commands(self):
        table = between(code("src/opensips/module_command.c"), "module_commands[] = {", "\n};")
        section = "## MI commands"
        self.assert_same(re.findall(r'\.name = "(\w+)"', table), self.names_of_headings(section))

    def test_parameters_of_commands(self):
        table = between(code("src/opensips/module_command.c"), "module_commands[] = {", "\n};")
        section = self.guide.section("## MI commands")
        for name, rest in re.findall(r'\.name = "(\w+)"((?:.|\n)*?)EMPTY_MI_RECIPE', table):
            line = re.search(rf"### `{name}`\n\n(?:Parameters: (.*?)\.\s)?", section)[1] or ""
            with self.subTest(command=name):
                self.assertEqual(
                    set(strings(" ".join(re.findall(r"\{command_\w+, \{(.*?)\}\}", rest)))),
                    set(re.findall(r"`(destination|what|from|count|sequence|to)`", line)),
                )

    def test_statistics(self):
        hidden = re.findall(
            r"counter != (COUNTER_\w+)",
            between(code("src/opensips/module_statistics.c"), "statistics_is_shown", "}"),
        )
        names = code("spool/counters.c")
        shown = counters() - {re.search(rf'\[{each}\] = "(\w+)"', names)[1] for each in hidden}
        own = between(code("src/opensips/module_statistics.c"), "names[STATISTIC_COUNT]", "};")
        refused = {f"refused_{each}" for each in outcomes()}
        cells = " ".join(first_cells(self.guide.section("## Statistics")))
        self.assert_same(shown | set(strings(own)) | refused, spans(cells))

    def test_events(self):
        names = strings(between(code("src/opensips/alarms.c"), "names[ALARM_COUNT]", "};"))
        cells = " ".join(first_cells(self.guide.section("## Events")))
        self.assert_same(names, spans(cells))

    def test_parameters_of_events(self):
        """The comments behind the events name what each carries."""
        table = between(code("src/opensips/alarms.c"), "enum alarm {", "};")
        rows = self.guide.section("## Events")
        for name, carried in re.findall(r"ALARM_(\w+),\s*/\* ([\w, ]+):", table):
            row = re.search(rf"^\| .*`E_KAFKA_{name}`.* \|(.*)\|.*\|$", rows, re.MULTILINE)
            with self.subTest(event=name):
                self.assertEqual(set(spans(row[1])), set(carried.split(", ")))

    def test_variables(self):
        names = strings(between(code("src/opensips/avp.c"), "avp_names[AVP_COUNT]", "};"))
        cells = " ".join(first_cells(self.guide.section("## The report route")))
        self.assert_same(names, re.findall(r"\$avp\((\w+)\)", cells))
        # Nor does any other text name one that is not there.
        self.assert_same(names, re.findall(r"\$avp\((kafka_\w+)\)", self.guide.text))

    def test_reasons(self):
        section = self.guide.section("## Functions")
        words = {each for each in spans(" ".join(first_cells(section))) if each.isidentifier()}
        bad_headers = strings(
            re.search(r"#define ERROR_BAD_HEADERS .*", code("src/opensips/publish_function.c"))[0]
        )
        self.assert_same(outcomes() | set(bad_headers), words)

    def test_properties(self):
        own = re.findall(r'"(s\.[a-z.]+)"', code("src/address_property.c"))
        cells = " ".join(first_cells(self.guide.section("## Addresses")))
        self.assert_same(own, re.findall(r"`(s\.[a-z.]+)`", cells))
        page = code("docs/man/spool-forward.1.scd")
        self.assert_same(own, re.findall(r"\*(s\.[a-z.]+)\*", page))
        for document in documents():
            named = set(re.findall(r"(?<![\w.])s\.[a-z]+\.[a-z.]*[a-z]", document.text))
            self.assertEqual(named - set(own), set(), document.path)


class Programs(Names):
    """What the man pages say of the programs."""

    def page(self, name):
        return code(f"docs/man/{name}.1.scd")

    def options_of_help(self, *command):
        said = subprocess.run(
            [process.program(command[0]), *command[1:], "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        options = said[: said.index("-V, --version")]
        found = re.findall(r"^ {2,6}(?:(-\w)(?:,|\s))?\s*(--[a-z-]+)?", options, re.MULTILINE)
        flat = {each for pair in found for each in pair if each}
        return flat - {"--help", "--usage", "-?"}

    def options_of_page(self, page):
        """Examples have the options of other programs too."""
        page = page.partition("# EXAMPLES")[0]
        return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+|-[A-Z])(?![\w-])", page)) - {"--help"}

    def test_options_of_spool_forward(self):
        self.assert_same(
            self.options_of_help("spool-forward"), self.options_of_page(self.page("spool-forward"))
        )

    def commands(self):
        said = subprocess.run(
            [process.program("spool-inspect"), "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return re.findall(r"^  ((?:dead )?[a-z]+)  ", said, re.MULTILINE)

    def test_commands_of_spool_inspect(self):
        page = self.page("spool-inspect")
        parts = re.findall(r"^# COMMANDS[A-Z ]*\n(.*?)(?=^# )", page, re.MULTILINE | re.DOTALL)
        heads = re.findall(r"^\*[a-z].*", "\n".join(parts), re.MULTILINE)
        named = {each for head in heads for each in re.findall(r"\*((?:dead )?[a-z]+)\*", head)}
        self.assert_same(self.commands(), named)

    def test_options_of_spool_inspect(self):
        taken = set()
        for command in self.commands():
            taken |= self.options_of_help("spool-inspect", *command.split())
        self.assert_same(taken, self.options_of_page(self.page("spool-inspect")))

    def exit_codes(self, header):
        return set(re.findall(r"_EXIT_\w+ = (\d+)", code(header)))

    def test_exit_codes(self):
        for name, header in (
            ("spool-forward", "tools/forward_options.h"),
            ("spool-inspect", "tools/inspect/inspect.h"),
        ):
            section = self.page(name).partition("# EXIT CODES")[2].partition("\n# ")[0]
            with self.subTest(program=name):
                self.assert_same(
                    self.exit_codes(header), re.findall(r"^\*(\d+)\*", section, re.MULTILINE)
                )


    def test_statistics_of_spool_forward(self):
        with tempfile.TemporaryDirectory() as folder:
            broker = ["--broker", "[k]127.0.0.1:1/t"]
            ran = forward.run("--spool", f"{folder}/spool", *broker, "--drain", "--json")
        printed = set(ran.statistics()) | set(ran.statistics()["destinations"][0])
        section = self.page("spool-forward").partition("# STATISTICS")[2].partition("\n# ")[0]
        self.assert_same(printed, re.findall(r"\*([a-z_]+)\*", section))


class Figures(Names):
    """Metrics, alerts, and what spool-inspect prints."""

    def metrics(self):
        source = code("tools/inspect/metrics.c")
        heads = re.findall(r'metrics_(?:one|head)\(out, "(\w+)"', source)
        tables = re.findall(r'\{(?:COUNTER_\w+, )?"(\w+)", "(?:gauge|counter)"', source)
        return {f"kafka_spool_{each}" for each in [*heads, *tables]}

    def test_metrics(self):
        cells = " ".join(first_cells(Document(METRICS).text))
        self.assert_same(self.metrics(), spans(cells))

    def test_types_of_metrics(self):
        source = code("tools/inspect/metrics.c")
        pattern = r'(?:metrics_(?:one|head)\(out, |\{(?:COUNTER_\w+, )?)"(\w+)",\s*"(gauge|counter)"'
        for name, kind in re.findall(pattern, source):
            self.assertIn(f"| `kafka_spool_{name}` | {kind} |", Document(METRICS).text)

    def test_metrics_that_other_documents_name(self):
        for document in documents():
            named = set(re.findall(r"(?<![\w(/])kafka_spool_\w+", document.text))
            with self.subTest(document=document.path):
                self.assertEqual(named - self.metrics(), set())

    def test_alerts(self):
        sections = re.findall(r"^### (KafkaSpool\w+)$", Document(OPERATIONS).text, re.MULTILINE)
        self.assertEqual(len(sections), len(set(sections)))
        self.assert_same(re.findall(r"- alert:\s*(\w+)", code(ALERTS)), sections)

    def test_each_alert_names_what_it_looks_at(self):
        operations = Document(OPERATIONS)
        for each in code(ALERTS).split("- alert:")[1:]:
            name = each.split()[0]
            when = operations.section(f"### {name}").partition("**Means**")[0]
            for metric in re.findall(r"\bkafka_spool_\w+", between(each, "expr:", "labels:")):
                with self.subTest(alert=name, metric=metric):
                    self.assertIn(f"`{metric}`", when)

    def test_each_alert_says_what_it_means_what_to_look_at_and_what_to_do(self):
        operations = Document(OPERATIONS)
        for name in re.findall(r"^### (KafkaSpool\w+)$", operations.text, re.MULTILINE):
            section = operations.section(f"### {name}")
            for part in ("**When**", "**Means**", "**Look at**", "**Do**"):
                with self.subTest(alert=name, part=part):
                    self.assertIn(part, section)

    def test_errors_of_kafka_that_documents_name(self):
        known = set(re.findall(r'\(-?\d+, "(\w+)"\)', code("src/verdict.c")))
        for path in (GUIDE, OPERATIONS, MESSAGES, "docs/durability.md"):
            for span in spans(Document(path).text):
                if re.fullmatch(r"(?!_ID)_[A-Z_]+|(?!E_)[A-Z]+(_[A-Z]+)+", span):
                    with self.subTest(document=path):
                        self.assertTrue(span in known, span)

    def test_documents_of_json(self):
        schemas = {
            "spool-inspect/" + path.stem.replace("-", "/")
            for path in (ROOT / "docs/schema").glob("*.json")
        }
        document = Document("docs/spool-inspect-json.md")
        self.assert_same(schemas, re.findall(r"^\| `(spool-inspect/\w+/\d+)`", document.text, re.M))


SNIPPET = """
static int f(void)
{
    message_set(m, "%s: more than %d%% of %" PRIu64
                   " \\"bytes\\"", a, b, c);
    LM_ERR("%s: %s\\n", other, is_it ? "here is one text that is a whole sentence"
                                       : "short");
    inspect_say("no destination '%.*s'", 1, d);
    LM_DBG("nobody sees what is said here\\n");
}
"""


class Sayings(Names):
    def test_texts_are_found_in_code(self):
        found = [text for _, text in sayings.of_source(Source("src/f.c", SNIPPET))]
        self.assertEqual(
            found,
            [
                '…: more than …% of … "bytes"',
                "here is one text that is a whole sentence",
                "no destination '…'",
            ],
        )


class Messages(Names):
    """docs/messages.md has what the programs say, and nothing else."""

    @classmethod
    def setUpClass(cls):
        cls.document = Document(MESSAGES)

    def test_each_message(self):
        said = sayings.of_tree(Tree.of_folder(ROOT))
        cells = first_cells(self.document.section("## By area"))
        listed = [span.replace("\\|", "|") for cell in cells for span in spans(cell)]
        self.assertEqual(sorted({each for each in listed if listed.count(each) > 1}), [], "twice")
        everywhere = re.compile(sayings.EVERYWHERE)
        rest = {text for text in said if not everywhere.search(text)}
        self.assert_same(rest, set(listed) - (set(said) - rest))

    def test_events(self):
        names = strings(between(code("src/host.c"), "names[HOST_EVENT_COUNT]", "};"))
        cells = " ".join(first_cells(self.document.section("## The word in front")))
        self.assert_same(names, spans(cells))

    def test_reasons_of_refusals(self):
        pattern = r'\[OUTCOME_\w+\]\s*=\s*\{\s*"(\w+)",\s*((?:"[^"]*"\s*)+)\}'
        pairs = re.findall(pattern, code("spool/outcome.c"))
        rows = {f"| {''.join(strings(text))} | `{name}` |" for name, text in pairs[1:]}
        section = self.document.section("### spool-forward")
        listed = re.findall(r"^\| (?:not|perhaps) accepted: .* \|$", section, re.MULTILINE)
        self.assert_same(rows, listed)

    def test_each_row_says_what_to_do(self):
        for line in self.document.text.splitlines():
            if line.startswith("|"):
                cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
                self.assertEqual(len(cells), 2, line)


if __name__ == "__main__":
    unittest.main()
