#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The project's rules, as far as a program can hold them.

    tests/check/rules.py [FOLDER]

prints each breach as "path:line: rule: what is wrong" and exits 1 if there is one. A rule is a
function that takes a Tree and yields (path, line, text); its docstring says what must hold.
test_rules.py shows for each rule that it can fail; tree_test.py holds them on the project.
"""

import ast
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from source import Tree, blank, calls, line_at  # noqa: E402

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
BLOB_BYTES_MAX = 256 * 1024

RULES = []


def rule(function):
    RULES.append(function)
    return function


# The folders, and what files in each may include. The longest one that a path starts with counts.
FOLDERS = {
    "spool": {"spool", "spool/page"},
    "spool/page": {"spool", "spool/page"},
    "spool/mend": {"spool", "spool/page", "spool/mend"},
    "src": {"spool", "src"},
    "src/opensips": {"spool", "src", "src/opensips"},
    "tools": {"spool", "spool/mend", "src", "tools"},
    "tests": {"spool", "spool/page", "spool/mend", "src", "src/opensips", "tools", "tests"},
}


def folder_of(path):
    found = [each for each in FOLDERS if path.startswith(each + "/")]
    return max(found, key=len, default=None)


@rule
def include_direction(tree):
    """spool <- src <- src/opensips; spool <- spool/mend; these, src <- tools; everything <- tests."""
    for source in tree.sources:
        folder = folder_of(source.path)
        if not source.is_c or folder is None:
            continue
        for line, is_quoted, what in source.includes:
            target = folder_of(what)
            if is_quoted and target is None and folder != "src/opensips":
                yield source.path, line, f'"{what}": name it from the project\'s root'
            elif target is not None and target not in FOLDERS[folder]:
                yield source.path, line, f"{folder} may not include from {target}"


# Foreign headers, and the files that may include them.
FOREIGN_HEADERS = [
    (r"lmdb\.h", r"(spool|tests/bench|tests/unit/spool)/"),
    (
        r"(.*/)?rdkafka(_mock|p)?\.h",
        r"src/[^/]*rdkafka[^/]*$|tests/(broker|bench|unit/src|kafka)/",
    ),
    (
        r"(.*/)?opensips/.*|(\.\./)+.*"
        r"|(sr_module|dprint|mod_fix|pvar|ipc|async|timer|reactor_defs|ut|str|action|route)\.h"
        r"|(evi|mi|mem|db|parser|lib|usr_avp|net)/.*\.h",
        r"src/opensips/",
    ),
]


@rule
def foreign_headers(tree):
    """LMDB in spool/ alone, librdkafka in src/*rdkafka* alone, OpenSIPS in src/opensips alone."""
    for source in tree.sources:
        if not source.is_c:
            continue
        for line, is_quoted, what in source.includes:
            for header, allowed in FOREIGN_HEADERS:
                is_foreign = re.fullmatch(header, what) and folder_of(what) is None
                # The kernel's and the system's "net/if.h" are no OpenSIPS.
                if is_foreign and re.match(r"net/(if|route)", what) and not is_quoted:
                    continue
                if is_foreign and not re.match(allowed, source.path):
                    yield source.path, line, f"{what} may not be included here"


# Calls that are never right here, and what to write.
BANNED_CALLS = {
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "strcpy": "snprintf, or memcpy with a size",
    "strcat": "snprintf, or memcpy with a size",
    "strncpy": "snprintf, or memcpy with a size",
    "strncat": "snprintf, or memcpy with a size",
    "stpcpy": "snprintf, or memcpy with a size",
    "gets": "getline",
    "atoi": "strtoll, and look at errno and the end",
    "atol": "strtoll, and look at errno and the end",
    "atoll": "strtoll, and look at errno and the end",
    "atof": "strtod, and look at errno and the end",
    "strtok": "strcspn, or strchr",
    "usleep": "clock_nanosleep, or wait for what is to happen",
    "rand": "getrandom, or a generator with a seed of its own",
    "srand": "getrandom, or a generator with a seed of its own",
    "random": "getrandom, or a generator with a seed of its own",
    "localtime": "localtime_r",
    "gmtime": "gmtime_r",
    "ctime": "strftime",
    "asctime": "strftime",
    "alloca": "a buffer with a limit, or malloc",
}


@rule
def banned_calls(tree):
    """No call that cannot be right, that is not safe in threads, or that hides its failure."""
    for source in tree.sources:
        if source.is_c:
            for at, name, _ in calls(source.code, "|".join(BANNED_CALLS)):
                if not re.search(r"(\.|->)\s*$", source.code[:at][-8:]):
                    replacement = BANNED_CALLS[name]
                    yield source.path, line_at(source.code, at), f"{name}(): use {replacement}"


@rule
def comments(tree):
    """C comments are /* sentences */."""
    for source in tree.sources:
        if source.is_c:
            for line in source.line_comments:
                yield source.path, line, "a // comment"


@rule
def typedefs(tree):
    """A struct is called struct."""
    for source in tree.sources:
        if source.is_c:
            for match in re.finditer(r"^\s*typedef\s+(struct|union|enum)\b", source.code, re.M):
                yield source.path, line_at(source.code, match.end()), f"typedef {match[1]}"


@rule
def licence_line(tree):
    """Each source has its licence in its first lines."""
    for source in tree.sources:
        head = source.text.split("\n")[:3]
        wanted = "SPDX-License-Identifier: " + "GPL-2.0-or-later"
        if source.is_source and not any(wanted in each for each in head):
            yield source.path, 1, f"no '{wanted}' in the first lines"


@rule
def function_length(tree):
    """A function can be read at once."""
    for source in tree.sources:
        if source.is_c:
            found = [(each.name, each.line, each.lines_count) for each in source.functions]
        elif source.is_python:
            found = [
                (each.name, each.lineno, each.end_lineno - each.lineno + 1)
                for each in ast.walk(ast.parse(source.text))
                if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
            ]
        else:
            found = []
        for name, line, count in found:
            if count > FUNCTION_LINES_MAX:
                yield source.path, line, f"{name}: {count} lines, {FUNCTION_LINES_MAX} at most"


@rule
def file_length(tree):
    """A file is about one thing."""
    for source in tree.sources:
        count = source.text.count("\n")
        if source.is_source and count > FILE_LINES_MAX:
            yield source.path, 1, f"{count} lines, {FILE_LINES_MAX} at most"


@rule
def unfinished(tree):
    """What is not done is an issue, not a comment."""
    words = "FIX" + "ME", "TO" + "DO", "X" + "XX"
    for source in tree.sources:
        for match in re.finditer(rf"\b({'|'.join(words)})\b", source.text):
            yield source.path, line_at(source.text, match.start()), match[0]


@rule
def blobs(tree):
    """Nothing large is committed: generate it."""
    for path, size_bytes in tree.sizes.items():
        if size_bytes > BLOB_BYTES_MAX:
            yield path, 1, f"{size_bytes} bytes, {BLOB_BYTES_MAX} at most"


@rule
def machine_paths(tree):
    """No path of the machine that somebody worked on."""
    for source in tree.sources:
        for match in re.finditer(r"(?<![\w.$}*])/(work|home|root)/", source.text):
            yield source.path, line_at(source.text, match.start()), match[0]


@rule
def results_handled(tree):
    """Each result that a header names is told apart somewhere, or tested."""
    named = {}
    for source in tree.sources:
        if source.is_header:
            for match in re.finditer(r"^#define\s+(\w+_E_\w+)\s", source.code, re.MULTILINE):
                named[match[1]] = source.path, line_at(source.code, match.start())
    handled = set()
    for source in tree.sources:
        if not source.is_c:
            continue
        for match in re.finditer(
            r"(?:==|!=|\bcase)\s*(\w+_E_\w+)\b|\b(\w+_E_\w+)\s*(?:==|!=)", source.code
        ):
            handled.add(match[1] or match[2])
        if source.path.startswith("tests/"):
            handled.update(re.findall(r"(?<!#define )\b\w+_E_\w+\b", source.code))
    for name, (path, line) in named.items():
        if name not in handled:
            yield path, line, f"{name}: nobody handles it and no test has it"


# Files that must see secrets, since they read them, hand them to librdkafka, or hide them.
SECRET_KEEPERS = re.compile(r"src/(address[^/]*|secret_file|redact|[^/]*rdkafka[^/]*)\.[ch]$")
# Whatever makes text that a person will see.
SAYING = (
    r"(?:f|d|v|vf|sn|vsn|as|vas)?printf|f?puts|perror|syslog|sd_journal_\w+|sd_notifyf?"
    r"|message_set|rdkafka_conf_refuse|argp_error|argp_failure|errx?|warnx?|error"
    r"|LM_[A-Z]+|tell|\w*_(?:log|say|tell|warn|fail|die)"
)


def property_variables(code):
    """Regular expressions for each way in which this code reads a property's value."""
    yield r"\bproperties\s*\[[^\]]*\]\s*\.\s*value\b"
    yield r"\bproperties\s*->\s*value\b"
    for match in re.finditer(r"\bstruct\s+address_property\s*(\*?)\s*(?:const\s+)?(\w+)", code):
        access = r"(?:->|\[[^\]]*\]\s*\.)" if match[1] else r"\."
        yield rf"\b{match[2]}\s*{access}\s*value\b"


@rule
def secrets_read(tree):
    """Only the files that must see an address's secrets read a property's value; to compare two
    with strcmp() shows nobody anything."""
    for source in tree.sources:
        if not source.is_c or source.path.startswith("tests/") or SECRET_KEEPERS.match(source.path):
            continue
        code = source.code
        for at, _, arguments in calls(code, "strcmp"):
            end = at + code[at:].index("(") + 1 + len(arguments)
            code = code[:at] + blank(code[at:end]) + code[end:]
        for pattern in sorted(set(property_variables(code))):
            for match in re.finditer(pattern, code):
                line = line_at(code, match.start())
                yield source.path, line, f"{match[0]}: a property's value may be a secret"


@rule
def secrets_said(tree):
    """
    No log call gets an address as somebody typed it: address->text is the form to show. Typed
    text is ->brokers, argv[n], and whatever the same function hands to address_parse().
    """
    for source in tree.sources:
        if not source.is_c or source.path.startswith("tests/") or SECRET_KEEPERS.match(source.path):
            continue
        for function in source.functions:
            raw = {r"->\s*brokers\b", r"\.\s*brokers\b", r"\bargv\s*\[\s*(?!0\s*\])"}
            for _, _, arguments in calls(function.body, "address_parse"):
                first = arguments.split(",")[0]
                raw.update(rf"(?<!->)(?<!\.)\b{name}\b" for name in re.findall(r"\w+", first))
            for at, name, arguments in calls(function.body, SAYING):
                if any(re.search(each, arguments) for each in raw):
                    line = function.line + line_at(function.body, at) - 1
                    yield source.path, line, f"{name}() is given an address as it was typed"


@rule
def results_must_be_checked(tree):
    """A function in a header that returns int carries SPOOL_MUST_CHECK; tests' helpers need not."""
    for source in tree.sources:
        if not source.is_header or source.path.startswith("tests/"):
            continue
        code = re.sub(r"^#(.*\\\n)*.*$", lambda each: blank(each[0]), source.code, flags=re.M)
        for match in re.finditer(r"(?<![^;}\s])([\w\s]*?)\bint\s+(\w+)\s*\(", code):
            before = re.split(r"[;}]", match[1])[-1]
            if "SPOOL_MUST_CHECK" not in before and not re.search(r"unsigned\s*$", before):
                yield source.path, line_at(code, match.start(2)), f"{match[2]}: SPOOL_MUST_CHECK"


POINT_TABLE = "tests/crash/point_table.py"


def table_names(text):
    """(line, name) of each point in the table."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "POINTS":
            yield from ((key.lineno, key.value) for key in node.value.keys)


@rule
def points(tree):
    """A kill point has a name of its own, and is in the table of tests/crash, which has no other."""
    placed = {}
    for source in tree.sources:
        if not source.is_c or source.path.startswith("tests/") or source.name == "point.h":
            continue
        for match in re.finditer(r"\bSPOOL_POINT\s*\(([^)]*)\)", source.without_comments):
            line = line_at(source.text, match.start())
            name = re.fullmatch(r'"([a-z_]+\.[a-z_]+)"', match[1])
            if not name:
                yield source.path, line, f'{match[1]}: a point\'s name is "file.happened"'
            elif name[1] in placed:
                yield source.path, line, f"{name[1]}: there is a point of that name"
            else:
                placed[name[1]] = source.path, line
    tables = [source.text for source in tree.sources if source.path == POINT_TABLE]
    table = [each for text in tables for each in table_names(text)]
    names = {name for _, name in table}
    for name, (path, line) in placed.items():
        if name not in names:
            yield path, line, f"{name}: {POINT_TABLE} has no test for it"
    for line, name in table:
        if name not in placed:
            yield POINT_TABLE, line, f"{name}: no such point"


DECISIONS = "docs/decisions/"


@rule
def decision_records(tree):
    """Decision records are numbered from 0001 without gaps, and have the same parts in each."""
    numbers = []
    for source in tree.sources:
        if not source.path.startswith(DECISIONS):
            continue
        name = re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", source.path[len(DECISIONS) :])
        if not name:
            yield source.path, 1, "the name is not NNNN-words-in-small-letters.md"
            continue
        numbers.append(int(name[1]))
        if not re.match(rf"# {name[1]}: \S", source.text):
            yield source.path, 1, f"the title is not '# {name[1]}: ...'"
        status = r"\n\n(Proposed|Accepted|Superseded by \d{4}), \d{4}-\d\d-\d\d\.\n"
        if not re.search(status, source.text):
            yield source.path, 3, "no 'Accepted, YYYY-MM-DD.' below the title"
        parts = re.findall(r"^## (.*)$", source.text, re.MULTILINE)
        for part in ("Context", "Decision", "Consequences"):
            if part not in parts:
                yield source.path, 1, f"no '## {part}'"
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        yield DECISIONS, 1, f"numbers with gaps or twice: {sorted(numbers)}"


def breaches(tree, which):
    return [f"{path}:{line}: {which.__name__}: {text}" for path, line, text in which(tree)]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    tree = Tree.of_folder(root)
    found = [each for which in RULES for each in breaches(tree, which)]
    print("\n".join(found) if found else f"{len(RULES)} rules hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
