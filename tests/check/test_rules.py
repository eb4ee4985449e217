# SPDX-License-Identifier: GPL-2.0-or-later
"""Each rule lets right sources pass and can fail; tree_test.py needs both."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import rules  # noqa: E402
from source import Source, Tree  # noqa: E402

SPDX = "SPDX-License-Identifier: " + "GPL-2.0-or-later"


def function(lines_count, name="f"):
    """A C function with so many lines from brace to brace."""
    return f"int {name}(void)\n{{\n" + "    g();\n" * (lines_count - 2) + "}\n"


class RulesTest(unittest.TestCase):
    def found(self, rule, texts):
        return [(path, line) for path, line, _ in rule(Tree.of_texts(texts))]

    def assert_holds(self, rule, path, text, **more):
        self.assertEqual(self.found(rule, {path: text, **more}), [])

    def assert_broken(self, rule, path, text, line=1):
        self.assertEqual(self.found(rule, {path: text}), [(path, line)])

    def test_every_rule_has_a_test(self):
        for rule in rules.RULES:
            self.assertIn(f"test_{rule.__name__}", dir(self))

    def test_include_direction(self):
        rule = rules.include_direction
        for path, what in (
            ("spool/a.c", "spool/b.h"),
            ("src/a.c", "spool/b.h"),
            ("src/opensips/a.c", "src/b.h"),
            ("src/opensips/a.c", "../../sr_module.h"),
            ("tools/a.c", "src/b.h"),
            ("tests/unit/a.c", "tools/b.h"),
        ):
            self.assert_holds(rule, path, f'#include "{what}"\n')
        for path, what in (
            ("spool/a.c", "src/b.h"),
            ("spool/a.c", "tests/b.h"),
            ("src/a.c", "src/opensips/b.h"),
            ("src/a.c", "tools/b.h"),
            ("src/opensips/a.c", "tools/b.h"),
            ("tools/a.c", "src/opensips/b.h"),
            ("tools/a.c", "tests/b.h"),
            ("spool/a.h", "b.h"),
            ("src/a.c", "../spool/b.h"),
        ):
            self.assert_broken(rule, path, f'/* why\n */\n#  include "{what}"\n', 3)
        self.assert_broken(rule, "spool/a.c", "#include <src/b.h>\n")
        self.assert_holds(rule, "spool/a.c", '/* #include "src/b.h" */\n')

    def test_foreign_headers(self):
        rule = rules.foreign_headers
        for path, what in (
            ("spool/a.c", "lmdb.h"),
            ("tests/bench/a.c", "lmdb.h"),
            ("src/sink_rdkafka.c", "librdkafka/rdkafka.h"),
            ("tests/broker/a.h", "librdkafka/rdkafka_mock.h"),
            ("src/opensips/a.c", "sr_module.h"),
            ("src/a.c", "time.h"),
            ("src/a.c", "net/if.h"),
        ):
            self.assert_holds(rule, path, f"#include <{what}>\n")
        for path, what in (
            ("src/a.c", "lmdb.h"),
            ("tests/broker/a.c", "lmdb.h"),
            ("spool/a.c", "librdkafka/rdkafka.h"),
            ("src/forward.c", "rdkafka.h"),
            ("src/opensips/rdkafka.c", "librdkafka/rdkafka.h"),
            ("src/a.c", "opensips/sr_module.h"),
            ("src/a.c", "dprint.h"),
            ("tools/a.c", "mi/mi.h"),
            ("tests/unit/src/a.c", "../../../evi/evi.h"),
        ):
            self.assert_broken(rule, path, f"#include <{what}>\n")

    def test_banned_calls(self):
        rule = rules.banned_calls
        for name in rules.BANNED_CALLS:
            self.assert_broken(rule, "src/a.c", f"\n    x = {name}(y);\n", 2)
            self.assert_broken(rule, "tests/a.c", f"{name} (y);\n")
            self.assert_holds(rule, "src/a.c", f'my_{name}(y); /* {name}() */ f("{name}(");\n')
            self.assert_holds(rule, "src/a.c", f"own->{name}(y); {name}_r(y);\n")
            self.assert_holds(rule, "tools/a.py", f"{name}(y)\n")

    def test_comments(self):
        self.assert_broken(rules.comments, "src/a.c", "\nint a; // why\n", 2)
        self.assert_broken(rules.comments, "src/a.c", "/* a */ // b\n")
        text = '/* // */ char *a = "http://x"; char b = \'"\'; char *c = "\\"//";\n'
        self.assert_holds(rules.comments, "src/a.c", text)

    def test_typedefs(self):
        self.assert_broken(rules.typedefs, "src/a.h", "typedef struct a {\n} a_t;\n")
        self.assert_holds(rules.typedefs, "src/a.h", "typedef int (*a_fn)(struct a *);\n")

    def test_licence_line(self):
        rule = rules.licence_line
        self.assert_holds(rule, "src/a.c", f"/* {SPDX} */\n")
        self.assert_holds(rule, "tools/a", f"#!/usr/bin/env bash\n# {SPDX}\n")
        self.assert_holds(rule, "README.md", "# Title\n")
        self.assert_broken(rule, "src/a.c", "/* " + "GPL-2.0-only */\n")
        self.assert_broken(rule, "tools/a", "#!/bin/bash\n")
        self.assert_broken(rule, "spool/CMakeLists.txt", "add_library(a a.c)\n")
        self.assert_broken(rule, "tests/a.py", f"\n\n\n# {SPDX}\n")

    def test_function_length(self):
        rule = rules.function_length
        most = rules.FUNCTION_LINES_MAX
        self.assert_holds(rule, "src/a.c", function(most) * 3)
        self.assert_broken(rule, "src/a.c", function(3) + "\n" + function(most + 1), 7)
        self.assert_holds(rule, "src/a.c", "static int a[] = {\n" + "    1,\n" * 99 + "};\n")
        body = "    pass\n" * (most - 1)
        self.assert_holds(rule, "tests/a.py", f"def f():\n{body}")
        self.assert_broken(rule, "tests/a.py", f"\ndef f():\n{body}    pass\n", 2)

    def test_file_length(self):
        rule = rules.file_length
        self.assert_holds(rule, "src/a.c", "\n" * rules.FILE_LINES_MAX)
        self.assert_holds(rule, "docs/a.md", "\n" * 9999)
        self.assert_broken(rule, "src/a.c", "\n" * (rules.FILE_LINES_MAX + 1))
        self.assert_broken(rule, "tests/run", "#!/bin/bash" + "\n" * (rules.FILE_LINES_MAX + 1))

    def test_unfinished(self):
        for word in ("FIX" + "ME", "TO" + "DO", "X" + "XX"):
            self.assert_broken(rules.unfinished, "docs/a.md", f"\nand {word}: more\n", 2)
        self.assert_holds(rules.unfinished, "src/a.c", 'mkdtemp("spool-XXXXXX");\n')

    def test_blobs(self):
        self.assert_holds(rules.blobs, "a.bin", "x" * rules.BLOB_BYTES_MAX)
        self.assert_broken(rules.blobs, "a.bin", "x" * (rules.BLOB_BYTES_MAX + 1))

    def test_machine_paths(self):
        rule = rules.machine_paths
        for folder in ("work", "home", "root"):
            self.assert_broken(rule, "tools/a", f"cd /{folder}/project\n")
        self.assert_holds(rule, "tools/a", '"$build/home/x" tests/home/x $root/home/\n')

    def test_results_handled(self):
        rule = rules.results_handled
        header = "int a;\n#define A_E_FULL 1 /* full */\n"
        self.assert_broken(rule, "src/a.h", header, 2)
        for path, text in (
            ("src/b.c", "if (r == A_E_FULL) {\n"),
            ("src/b.c", "if (A_E_FULL != r) {\n"),
            ("src/b.c", "    case A_E_FULL:\n"),
            ("tests/unit/src/a_test.c", "assert_int_equal(a(), A_E_FULL);\n"),
        ):
            self.assertEqual(self.found(rule, {"src/a.h": header, path: text}), [])
        for path, text in (
            ("src/a.c", "return A_E_FULL;\n"),
            ("src/b.c", "/* r == A_E_FULL */\n"),
            ("tests/unit/src/a_test.c", "/* A_E_FULL */\n"),
            ("src/b.c", "if (r == A_E_FULLER) {\n"),
        ):
            self.assertEqual(self.found(rule, {"src/a.h": header, path: text}), [("src/a.h", 2)])

    def test_secrets_read(self):
        rule = rules.secrets_read
        for text in (
            "const struct address_property *property = next();\nf(property->value);\n",
            "struct address_property *list = all();\nf(list[0].value);\n",
            "struct address_property copy = *p;\nf(copy.value);\n",
            "x();\ny = address->properties[i].value;\n",
        ):
            self.assert_broken(rule, "src/publish.c", text, 2)
            self.assert_broken(rule, "src/opensips/module.c", text, 2)
            self.assert_holds(rule, "src/address_identity.c", text)
            self.assert_holds(rule, "src/sink_rdkafka.c", text)
            self.assert_holds(rule, "tests/unit/src/a.c", text)
        text = "struct record_header *header = h;\nf(header->value);\n"
        self.assert_holds(rule, "src/publish.c", text)
        text = "struct address_property *a = h;\nreturn strcmp(a->value, b->value) == 0;\n"
        self.assert_holds(rule, "src/publish.c", text)

    def test_secrets_said(self):
        rule = rules.secrets_said

        def body(text):
            return f"static int f(int argc, char **argv)\n{{\n{text}\n}}\n"

        for text in (
            'printf("%s", address->brokers);',
            'fprintf(stderr, "%s", address.brokers);',
            'message_set(message, "%s",\n  own->address->brokers);',
            'fprintf(stderr, "what is %s?", argv[1]);',
            'own->host->tell(host, EVENT, NULL, argv[i]);',
            'r = address_parse(arg, strlen(arg), &a, &m); argp_error(state, "%s", arg);',
            'r = address_parse(socket.s, socket.len, &a, &m); LM_ERR("%s", socket.s);',
        ):
            self.assert_broken(rule, "tools/a.c", body(text), 3)
            self.assert_holds(rule, "src/address_reader.c", body(text))
        for text in (
            'printf("%s", address->text);',
            'printf("usage: %s", argv[0]);',
            'r = address_parse(arg, strlen(arg), &a, &m); argp_error(state, "%s", m.text);',
            'r = strcmp(a->brokers, b->brokers);',
            'f(arg); argp_error(state, "not a number: %s", arg);',
        ):
            self.assert_holds(rule, "tools/a.c", body(text))

    def test_results_must_be_checked(self):
        rule = rules.results_must_be_checked
        for text in (
            "SPOOL_MUST_CHECK int f(void);\n",
            "SPOOL_MUST_CHECK\nint f(int a,\n      int b);\n",
            "SPOOL_MUST_CHECK static inline int f(void)\n",
            "void f(int a);\nstruct a {\n    int (*f)(int);\n    int b;\n};\n",
            "#define F(a) \\\n    int f(a)\nunsigned int g(void);\n",
        ):
            self.assert_holds(rule, "src/a.h", text)
        self.assert_broken(rule, "src/a.h", "int f(void);\n")
        self.assert_broken(rule, "src/a.h", "#define A 1\n/* why */\nint f(void);\n", 3)
        text = "SPOOL_MUST_CHECK int g(void);\nextern int f(int);\n"
        self.assert_broken(rule, "src/a.h", text, 2)
        text = "struct a {\n};\n\nstatic inline int f(int a)\n{\n}\n"
        self.assert_broken(rule, "src/a.h", text, 4)
        self.assert_holds(rule, "src/a.c", "int f(void);\n")
        self.assert_holds(rule, "tests/unit/a.h", "int f(void);\n")

    def test_points(self):
        rule = rules.points
        table = {rules.POINT_TABLE: 'POINTS = {\n    "a.done": "x y=1",\n}\n'}
        self.assert_holds(rule, "spool/a.c", '    SPOOL_POINT("a.done");\n', **table)
        self.assert_holds(rule, "spool/point.h", "#define SPOOL_POINT(name) ((void)0)\n")
        self.assert_holds(rule, "tests/a.c", 'SPOOL_POINT("unit.test"); SPOOL_POINT(name);\n')
        self.assert_holds(rule, "src/a.c", '/* SPOOL_POINT("b.done") */\n')
        self.assert_broken(rule, "src/a.c", '\nSPOOL_POINT("b.done");\n', 2)
        for wrong in ("name", '"a"', '"A.b"', '"a.b" "c"'):
            self.assert_broken(rule, "tools/a.c", f"SPOOL_POINT({wrong});\n")
        self.assert_broken(rule, rules.POINT_TABLE, table[rules.POINT_TABLE], 2)
        twice = {"spool/a.c": 'SPOOL_POINT("a.done");\n\nSPOOL_POINT("a.done");\n', **table}
        self.assertEqual(self.found(rule, twice), [("spool/a.c", 3)])

    def test_decision_records(self):
        rule = rules.decision_records
        good = (
            "# 0001: Why\n\nAccepted, 2026-01-31.\n\n## Context\n\n## Decision\n\n## Consequences\n"
        )
        path = "docs/decisions/0001-why.md"
        self.assert_holds(rule, path, good)
        for change in (
            ("# 0001:", "# 0002:"),
            ("Accepted, 2026-01-31.", "Soon."),
            ("## Context", "## Before"),
            ("## Consequences", "Consequences"),
        ):
            found = self.found(rule, {path: good.replace(*change)})
            self.assertEqual([each for each, _ in found], [path])
        second = good.replace("0001", "0002")
        self.assertTrue(self.found(rule, {"docs/decisions/0002-why.md": second}))
        self.assertTrue(self.found(rule, {path: good, "docs/decisions/0001-what.md": good}))
        self.assertTrue(self.found(rule, {path: good, "docs/decisions/notes.md": good}))
        self.assert_holds(rule, path, good, **{"docs/decisions/0002-why.md": second})


class SourceTest(unittest.TestCase):
    def test_code_keeps_lines_and_columns(self):
        text = 'a("x; /* y", \'"\'); /* b\n c */ d // e\n"\\"f" g\n'
        code = Source("src/a.c", text).code
        self.assertEqual(len(code), len(text))
        self.assertEqual(code.split("\n")[1].strip(), "d")
        self.assertEqual([code.index("d"), code.index("g")], [text.index("d"), text.index("g")])
        self.assertNotIn("y", code)

    def test_functions_have_names_and_lengths(self):
        text = "struct a {\n};\n\nstatic int one(int a,\n               int b)\n{\n    x();\n}\n"
        (found,) = Source("src/a.c", text).functions
        self.assertEqual((found.name, found.line, found.lines_count), ("one", 6, 3))
        self.assertTrue(found.head.startswith("static int one"))

    def test_tree_of_folder_skips_what_is_not_ours(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in (".git/a", "build/b", "build-x/c", "tests/__pycache__/d", "src/e.c", "f"):
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("x", encoding="ascii")
            Path(folder, "f").write_bytes(b"\0\xff")
            tree = Tree.of_folder(Path(folder))
        self.assertEqual(sorted(tree.sizes), ["f", "src/e.c"])
        self.assertEqual([each.path for each in tree.sources], ["src/e.c"])


if __name__ == "__main__":
    unittest.main()
