# SPDX-License-Identifier: GPL-2.0-or-later
"""What the programs say to people when something is wrong: the texts that stand in the code."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "check"))

from source import calls  # noqa: E402

# Stands for what differs from time to time.
ELLIPSIS = "…"

# Whatever makes text that a person sees. The text is their first string; further ones that are
# given to them, and are sentences, are texts too.
SAYERS = (
    "message_set|LM_CRIT|LM_ERR|LM_WARN|LM_NOTICE|argp_error|inspect_say|console_host_say"
    "|judge_add|ADDRESS_MALFORMED|rdkafka_conf_refuse|import_refuse_line"
    "|command_error|command_fail|salvage_full|forward_tell|feed_hold"
)
SENTENCE_WORDS_MIN = 8

# What any part of a program may come to: one row of the documents is enough for all of it.
EVERYWHERE = r"\b(out of|no) (shared )?memory\b"

# Strings that follow each other, and identifiers between them: PRIu64, the name of a file.
STRING = r'"(?:\\.|[^"\\])*"'
LITERALS = re.compile(rf"{STRING}(?:\s*(?:[A-Za-z_]\w*\s*)?{STRING})*(?:\s*\bPRI[a-z]\d+)?")
PLACEHOLDER = re.compile(r"%[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*)?)?(?:hh|h|ll|l|z|j|t)?[diouxXcsp]")
PERCENT = "\0"


def text_of(literals):
    """What adjacent literals say."""
    text = "".join(
        match[1] if match[1] is not None else ELLIPSIS
        for match in re.finditer(r'"((?:\\.|[^"\\])*)"|\w+', literals)
    )
    text = text.replace("%%", PERCENT).replace("%" + ELLIPSIS, ELLIPSIS)
    text = PLACEHOLDER.sub(ELLIPSIS, text).replace(PERCENT, "%")
    text = re.sub(r"\\[nt]", " ", text).replace('\\"', '"').replace("\\\\", "\\")
    return re.sub(r"\s+", " ", re.sub(ELLIPSIS + "+", ELLIPSIS, text)).strip()


def words_count(text):
    return len(re.findall(r"[A-Za-z]{2,}", text))


def of_source(source):
    """(line, text) of each message in a C file."""
    for at, _, _ in calls(source.code, SAYERS):
        # source.code has the same columns, and nothing in its strings.
        begin = source.code.index("(", at)
        depth, end = 1, begin + 1
        while depth > 0 and end < len(source.code):
            depth += {"(": 1, ")": -1}.get(source.code[end], 0)
            end += 1
        line = source.code.count("\n", 0, at) + 1
        texts = [text_of(each[0]) for each in LITERALS.finditer(source.without_comments[begin:end])]
        for number, text in enumerate(texts):
            if words_count(text) >= (2 if number == 0 else SENTENCE_WORDS_MIN):
                yield line, text


def of_tree(tree):
    """text -> the places in the code that say it."""
    found = {}
    for source in tree.sources:
        if source.path.endswith(".c") and source.path.startswith(("spool/", "src/", "tools/")):
            for line, text in of_source(source):
                found.setdefault(text, []).append(f"{source.path}:{line}")
    return found
