#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Every command in the documents is run; every link leads somewhere. A fenced block says in its info
what it is: the language and, for commands, the scene (scenes.py) that they run in. "text" is output
or a picture. SPOOL_BUILD_DIR names a folder with the programs.
"""

import json
import re
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "docs")]

from harness import inspector  # noqa: E402
from markdown import ROOT, Block, Document, documents, spans  # noqa: E402
from sandbox import Sandbox  # noqa: E402
from scenes import ELSEWHERE, SCENES  # noqa: E402

# What a picture is drawn with.
DRAWN = re.compile("[─│┌►▲]")

AT_ONCE = 4

# The scenes of the man pages' examples.
PAGES = {"spool-forward": "many", "spool-inspect": "many"}


def blocks(language):
    for document in documents():
        for block in document.blocks():
            if block.language == language:
                yield block


def run_block(block):
    with Sandbox() as sandbox:
        SCENES[block.scene](sandbox)
        sandbox.run(block.text)


def examples_of_page(name):
    """The commands below EXAMPLES: what is indented by a tab."""
    path = f"docs/man/{name}.1.scd"
    text = (ROOT / path).read_text(encoding="utf-8")
    part = re.search(r"^# EXAMPLES\n(.*?)(?=^# |\Z)", text, re.MULTILINE | re.DOTALL)
    line = text.count("\n", 0, part.start()) + 1
    commands = "".join(f"{each}\n" for each in re.findall(r"^\t(.*)$", part[1], re.MULTILINE))
    return Block(path, line, f"sh {PAGES[name]}", commands)


class Blocks(unittest.TestCase):
    def test_each_block_says_what_it_is(self):
        for document in documents():
            for block in document.blocks():
                with self.subTest(block=str(block)):
                    if block.language == "sh":
                        self.assertIn(block.scene, {**SCENES, **ELSEWHERE})
                    elif block.language == "":
                        self.assertRegex(block.text, DRAWN, "no picture: name its language")
                    else:
                        self.assertIn(block.language, ("opensips", "json", "sql", "text"))

    def run_blocks(self, found):
        """Some at once: most of the time they wait."""
        self.assertTrue(found)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = [(block, pool.submit(run_block, block)) for block in found]
        for block, result in running:
            with self.subTest(block=str(block)):
                result.result()

    def test_commands_of_the_documents(self):
        self.run_blocks([each for each in blocks("sh") if each.scene in SCENES])

    def test_commands_of_the_man_pages(self):
        self.run_blocks([examples_of_page(name) for name in PAGES])

    def test_programs_that_are_named_elsewhere_are_there(self):
        for block in blocks("sh"):
            if block.scene in ("project", "bench"):
                for path in re.findall(r"(?:^|\s)((?:tools|tests)/[\w/.-]+)", block.text):
                    with self.subTest(block=str(block)):
                        self.assertTrue((ROOT / path).is_file(), path)

    def test_json(self):
        for block in blocks("json"):
            with self.subTest(block=str(block)):
                value = json.loads(block.text)
                if "format" in value:
                    inspector.validate(value)

    def test_a_command_that_fails_is_seen(self):
        with Sandbox() as sandbox:
            for text in ("false\ntrue\n", "spool-inspect --nonsense\n", "cat missing | cat\n"):
                with self.assertRaises(AssertionError, msg=text):
                    sandbox.run(text)


class Links(unittest.TestCase):
    def test_each_leads_somewhere(self):
        known = {each.path: each for each in documents()}
        paths = [*ROOT.glob("docs/decisions/*.md")]
        known |= {
            each.path: each for each in (Document(p.relative_to(ROOT).as_posix()) for p in paths)
        }
        for document in known.values():
            for link in document.links():
                if link.startswith("http"):
                    continue
                path, _, anchor = link.partition("#")
                target = (ROOT / document.path).parent / path if path else ROOT / document.path
                name = target.resolve().relative_to(ROOT).as_posix()
                with self.subTest(document=document.path, link=link):
                    self.assertTrue(target.exists(), "it leads nowhere")
                    if anchor:
                        self.assertIn(anchor, known[name].anchors())

    def test_each_file_that_is_named_is_there(self):
        named = re.compile(r"(?:spool|src|tools|tests|docs|packaging)/[\w./-]*[\w/]")
        for document in documents():
            for span in spans(document.prose):
                # Schemas' names are no paths, and NAME stands for a name.
                if named.fullmatch(span) and "NAME" not in span:
                    with self.subTest(document=document.path, file=span):
                        self.assertTrue((ROOT / span).exists())


if __name__ == "__main__":
    unittest.main()
