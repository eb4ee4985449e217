# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of packages share: the systems, the packages as they were built, and a service that runs."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from clean_root import ROOT, CleanRoot, host_suite
from harness import broker, process

SUITE = os.environ.get("SPOOL_PACKAGES_SUITE") or host_suite()
OPENSIPS_TREE = Path(os.environ.get("OPENSIPS_SOURCE_DIR") or "/usr/src/opensips")
NO_TREE = "not here: no built OpenSIPS tree: set OPENSIPS_SOURCE_DIR"
PATIENCE_S = 120

# What a client needs to notice soon that a broker is back.
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100&g.socket.timeout.ms=1000"


def has_opensips_tree():
    return (OPENSIPS_TREE / "opensips").exists()


def opensips_binds():
    return [f"{OPENSIPS_TREE}:{OPENSIPS_TREE}"] if has_opensips_tree() else []


def clean_root():
    return CleanRoot(SUITE)


def build_root():
    """With what the packages are built and judged with."""
    control = (ROOT / "packaging/debian/control").read_text(encoding="utf-8")
    needs = " ".join(control.split("Build-Depends:")[1].split("Standards-Version:")[0].split())
    return CleanRoot(
        SUITE,
        [
            f": '{needs}'; apt-get update && apt-get build-dep --yes ./packaging",
            "apt-get install --yes --no-install-recommends lintian lmdb-utils rpm rpmlint",
        ],
    )


def fresh_folder(name):
    """A folder below the build tree, which outlives the run: what was built can be looked at."""
    folder = Path(os.environ["SPOOL_BUILD_DIR"]) / "packages" / SUITE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def same_files(one, other):
    """The names that both folders have, if they have the same bytes; else what differs."""
    names = {each.name for each in one.iterdir()} & {each.name for each in other.iterdir()}
    differing = [each for each in names if (one / each).read_bytes() != (other / each).read_bytes()]
    return sorted(names), sorted(differing)


class PackageCase(unittest.TestCase):
    """A test with a folder, an embedded broker, and machines that are stopped at its end."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.broker = broker.EmbeddedBroker(self.folder, topics={"cdrs": 1}, record=True)
        self.addCleanup(self.broker.close)

    def boot(self, root, *binds):
        machine = root.boot(self.folder / "machine.log", binds=binds)
        self.addCleanup(machine.close)
        return machine

    def payloads(self):
        return [each.payload.decode() for each in self.broker.records()]

    def wait_delivered(self, count):
        process.wait_until(
            lambda: len(self.payloads()) >= count, PATIENCE_S, f"{count} records are delivered"
        )
        return self.payloads()

    def configure(self, machine, name="cdr", options=""):
        machine.run(
            f"""printf '%s\\n' 'ADDRESS="{self.broker.bootstrap}/cdrs?{QUICK}"' 'OPTIONS="{options}"' \
            >/etc/kafka-spool/{name}.conf"""
        )

    def start(self, machine, name="cdr"):
        machine.run(f"systemctl enable --now spool-forward@{name}")

    def publish(self, machine, lines, name="cdr"):
        """Writes each line at once, as docs/install.md says; waits until the service took them all."""
        text = "\n".join(lines)
        subprocess.run(
            ["nsenter", "--target", str(machine.leader), "--mount", "sh", "-c"]
            + [f'while read -r line; do printf "%s\\n" "$line"; done >/run/kafka-spool/{name}'],
            input=text.encode() + b"\n",
            timeout=PATIENCE_S,
            check=True,
        )

    def status(self, machine, name="cdr"):
        return machine.run(f"spool-inspect --spool /var/lib/kafka-spool/{name} status", code=None)

    def waiting(self, machine, name="cdr"):
        """How many records wait, by the program itself."""
        shown = machine.run(
            f"spool-inspect --spool /var/lib/kafka-spool/{name} ls --limit 0 --json", code=None
        )
        return len([each for each in shown.splitlines() if each.startswith("{")])


def opensips_version():
    return subprocess.run(
        [
            "bash",
            "-c",
            'set -eu; . packaging/common.bash; opensips_version "$1"',
            "-",
            OPENSIPS_TREE,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
