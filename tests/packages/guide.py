# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that docs/install.md tells its readers to type."""

import re

from clean_root import ROOT

PATH = ROOT / "docs/install.md"


def commands(heading):
    """The commands of the code blocks below "## HEADING"."""
    parts = re.split(r"^## (.*)$", PATH.read_text(encoding="utf-8"), flags=re.M)
    text = dict(zip(parts[1::2], parts[2::2]))[heading]
    blocks = re.findall(r"^```sh packages\n(.*?)^```$", text, flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]
