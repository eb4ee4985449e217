# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's documents as the tests see them: fenced blocks, headings, tables, links."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """What stands between two fences. info: what stands behind the first."""

    path: str
    line: int
    info: str
    text: str

    @property
    def language(self):
        return self.info.partition(" ")[0]

    @property
    def scene(self):
        """What the block needs to run: the rest of the info."""
        return self.info.partition(" ")[2].strip()

    def __str__(self):
        return f"{self.path}:{self.line}"


class Document:
    """A Markdown file. path is relative to the project's root."""

    def __init__(self, path):
        self.path = path
        self.text = (ROOT / path).read_text(encoding="utf-8")

    def blocks(self):
        for match in FENCE.finditer(self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            yield Block(self.path, line, match[1].strip(), match[2])

    @property
    def prose(self):
        """The text without its fenced blocks."""
        return FENCE.sub("", self.text)

    def headings(self):
        return re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)

    def anchors(self):
        """What a link into this document may name, as those who show Markdown make it."""
        found = set()
        for heading in self.headings():
            words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
            found.add(words.strip().replace(" ", "-"))
        return found

    def section(self, heading):
        """What stands below a heading, up to the next one that is as high."""
        level = "#" * (len(heading) - len(heading.lstrip("#")))
        begin = self.text.index(f"\n{heading}\n")
        rest = self.text[begin + len(heading) + 2 :]
        end = re.search(rf"^#{{1,{len(level)}}} ", rest, re.MULTILINE)
        return rest[: end.start()] if end else rest

    def links(self):
        return LINK.findall(self.prose)


def first_cells(text):
    """The first cell of each row of the tables in a text, without the tables' heads."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            rows.append(re.split(r"(?<!\\)\|", line)[1].strip())
        else:
            rows.append(None)
    return [
        row
        for before, row in zip([None, *rows], rows)
        if row is not None and before is not None and not re.fullmatch(r"-+", row)
    ]


def spans(text):
    """What is marked as code."""
    return SPAN.findall(text)


def documents():
    """Every document that users and contributors read."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("spool/*.md")]
    return [Document(path.relative_to(ROOT).as_posix()) for path in sorted(paths)]
