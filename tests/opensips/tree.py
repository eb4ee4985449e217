# SPDX-License-Identifier: GPL-2.0-or-later
"""
The built OpenSIPS trees that the tests run on, and the modules for them.

OPENSIPS_SOURCE_DIR names the main tree, otherwise it is /usr/src/opensips; trees of further
versions stand beside it as TREE-VERSION. This project's module for the main tree is in
SPOOL_BUILD_DIR, those for the others in SPOOL_BUILD_DIR-VERSION.
"""

import functools
import os
import re
import subprocess
from pathlib import Path

MODULE = "src/opensips/event_kafka.so"


class Tree:
    """One tree. suffix: "" of the main tree, "-VERSION" of another."""

    def __init__(self, path, suffix=""):
        self.path = Path(path)
        self.suffix = suffix
        self.binary = self.path / "opensips"

    def __str__(self):
        return self.path.name

    @functools.cached_property
    def version(self):
        """(3, 6) of an OpenSIPS 3.6.8."""
        said = subprocess.run([self.binary, "-V"], capture_output=True, text=True, check=True)
        return tuple(map(int, re.search(r"opensips (\d+)\.(\d+)\.", said.stdout).groups()))

    def has(self, name):
        return self.module(name).is_file()

    def module(self, name):
        return self.path / "modules" / name / f"{name}.so"

    def ours(self):
        """This project's event_kafka.so for the tree."""
        build = os.environ.get("SPOOL_BUILD_DIR")
        if not build:
            raise RuntimeError("set SPOOL_BUILD_DIR to the folder that the module was built in")
        path = Path(build.rstrip("/") + self.suffix) / MODULE
        if not path.is_file():
            wanted = f"build it with -DOPENSIPS_SOURCE_DIR={self.path}"
            raise RuntimeError(f"there is no {path}: {wanted}")
        return path.resolve()

    def upstream(self):
        """The stock module, which has the same name and interface."""
        return self.module("event_kafka")


def main():
    """The main tree; None: there is none here."""
    tree = Tree(os.environ.get("OPENSIPS_SOURCE_DIR") or "/usr/src/opensips")
    return tree if os.access(tree.binary, os.X_OK) else None


def others():
    """The trees beside the main one."""
    first = main()
    if first is None:
        return []
    prefix = first.path.name + "-"
    found = [
        Tree(each, each.name[len(first.path.name) :])
        for each in sorted(first.path.parent.iterdir())
        if each.name.startswith(prefix)
    ]
    return [each for each in found if os.access(each.binary, os.X_OK)]


NO_TREE = (
    "not here: no built OpenSIPS tree, so nothing was tested on OpenSIPS: "
    "build one and name it by OPENSIPS_SOURCE_DIR"
)
