# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's files as the rules see them: text, C without comments, C functions."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

SKIPPED_FOLDERS = re.compile(r"^(\.git|build[^/]*|.*/__pycache__|__pycache__)$")

C_TOKEN = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.DOTALL | re.VERBOSE
)
C_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def blank(text):
    """As many lines and columns, with nothing in them."""
    return re.sub(r"[^\n]", " ", text)


class Function(NamedTuple):
    name: str
    line: int  # of the opening brace
    lines_count: int  # from brace to brace
    head: str
    body: str


class Source:
    """A text file. path is relative to the tree's root."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.name = path.rpartition("/")[2]

    @property
    def is_c(self):
        return self.name.endswith((".c", ".h"))

    @property
    def is_header(self):
        return self.name.endswith(".h")

    @property
    def is_python(self):
        return self.name.endswith(".py") or bool(re.match(r"#!.*python", self.text))

    @property
    def is_source(self):
        """C, Python, scripts and build files: what a person wrote for a machine to run."""
        return (
            self.is_c
            or self.is_python
            or self.name == "CMakeLists.txt"
            or self.name.endswith((".cmake", ".sh"))
            or self.text.startswith("#!")
        )

    @functools.cached_property
    def without_comments(self):
        def replace(match):
            return blank(match[0]) if match[0].startswith("/") else match[0]

        return C_TOKEN.sub(replace, self.text)

    @functools.cached_property
    def code(self):
        """C without comments and without what stands in strings."""

        def replace(match):
            if match[0].startswith("/"):
                return blank(match[0])
            return match[0][0] + blank(match[0][1:-1]) + match[0][-1]

        return C_TOKEN.sub(replace, self.text)

    @property
    def includes(self):
        """(line, is quoted, what)"""
        for match in C_INCLUDE.finditer(self.without_comments):
            yield line_at(self.text, match.start()), match[1] == '"', match[2]

    @property
    def line_comments(self):
        """The lines with a // comment."""
        for match in C_TOKEN.finditer(self.text):
            if match[0].startswith("//"):
                yield line_at(self.text, match.start())

    @functools.cached_property
    def functions(self):
        """C functions: their braces stand in the first column, and no others do."""
        found = []
        lines = self.code.split("\n")
        begin = None
        for number, text in enumerate(lines):
            if text == "{":
                begin = number
            elif text.startswith("}") and begin is not None:
                head_begin = begin
                while head_begin > 0 and not re.search(r"[;}]\s*$|^#|^\s*$", lines[head_begin - 1]):
                    head_begin -= 1
                head = "\n".join(lines[head_begin:begin])
                name = re.search(r"(\w+)\s*\(", head)
                found.append(
                    Function(
                        name=name[1] if name else "?",
                        line=begin + 1,
                        lines_count=number - begin + 1,
                        head=head,
                        body="\n".join(lines[begin : number + 1]),
                    )
                )
                begin = None
        return found


class Tree:
    """All files of the project; sizes is of every file, sources of those that are text."""

    def __init__(self, sizes, sources):
        self.sizes = sizes
        self.sources = sources

    @classmethod
    def of_texts(cls, texts):
        """path -> text, for the tests of the rules."""
        sizes = {path: len(text.encode()) for path, text in texts.items()}
        return cls(sizes, [Source(path, text) for path, text in texts.items()])

    @classmethod
    def of_folder(cls, root):
        sizes = {}
        sources = []
        for path in sorted(files_below(Path(root), Path(root))):
            name = path.relative_to(root).as_posix()
            content = path.read_bytes()
            sizes[name] = len(content)
            try:
                text = content.decode()
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                sources.append(Source(name, text))
        return cls(sizes, sources)


def files_below(folder, root):
    for path in folder.iterdir():
        if SKIPPED_FOLDERS.match(path.relative_to(root).as_posix()):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files_below(path, root)
        elif path.is_file():
            yield path


def line_at(text, position):
    return text.count("\n", 0, position) + 1


def calls(code, names):
    """(position, name, arguments) of each call in code of a function whose name matches."""
    for match in re.finditer(rf"(?<![\w])({names})\s*\(", code):
        depth = 1
        end = match.end()
        while end < len(code) and depth > 0:
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        yield match.start(), match[1], code[match.end() : end - 1]
