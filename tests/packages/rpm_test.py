# SPDX-License-Identifier: GPL-2.0-or-later
"""
The RPMs: built, judged, and installed by rpm into a clean root that has the libraries. That root is
a Debian, so rpm is told not to look for the packages that Fedora's or openSUSE's names stand for.
"""

import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import case  # noqa: E402
from harness import process  # noqa: E402

SPOOL = "/var/lib/kafka-spool/cdr"
RPM = "rpm --dbpath /var/lib/rpm"

root = None
built = None


def setUpModule():
    """Builds all packages: all, all once more elsewhere, and one of a later version."""
    global root, built
    root = case.build_root()
    built = case.fresh_folder("rpm")
    tree = f"--opensips-tree {case.OPENSIPS_TREE}" if case.has_opensips_tree() else ""
    root.run(
        f"packaging/build-rpm --output /out/one {tree} &&"
        f" TMPDIR=/var/tmp packaging/build-rpm --output /out/other {tree} &&"
        " packaging/build-rpm --output /out/newer --version 0.9.9",
        binds=[f"{built}:/out", *case.opensips_binds()],
    )


class JudgedTest(unittest.TestCase):
    def test_two_builds_are_the_same(self):
        names, differing = case.same_files(built / "one", built / "other")
        programs = [each for each in names if "-debuginfo-" not in each]
        self.assertEqual(len(programs), 2 if case.has_opensips_tree() else 1)
        self.assertEqual(differing, [])

    def test_rpmlint_finds_nothing(self):
        """But filters that it does not need: its versions differ in what they look for."""
        said = root.run(
            "rpmlint --rpmlintrc packaging/rpm/rpmlintrc /packages/one/*.rpm"
            " packaging/rpm/kafka-spool.spec || true",
            binds=[f"{built}:/packages"],
        )
        self.assertRegex(said, r"[1-9] packages and 1 specfiles checked")
        found = [each for each in said.splitlines() if re.search(r": [EW]: ", each)]
        self.assertEqual([each for each in found if "unused-rpmlintrc-filter" not in each], [])


class InstalledTest(case.PackageCase):
    def test_install_run_upgrade_and_erase(self):
        machine = self.boot(root, f"{built}:/packages")
        machine.run(f"{RPM} --initdb && {RPM} --install --nodeps /packages/one/kafka-spool-*.rpm")
        machine.run(f"{RPM} --verify --nodeps kafka-spool")
        self.configure(machine)
        self.start(machine)
        self.broker.command("down all")
        lines = [f"line {number}" for number in range(100)]
        self.publish(machine, lines)
        process.wait_until(lambda: self.waiting(machine) == 100, case.PATIENCE_S, "all wait")
        before = machine.run("systemctl show --property=MainPID spool-forward@cdr")

        machine.run(f"{RPM} --upgrade --nodeps /packages/newer/kafka-spool-*.rpm")
        self.assertIn("0.9.9", machine.run(f"{RPM} --query kafka-spool"))
        after = machine.run("systemctl show --property=MainPID spool-forward@cdr")
        self.assertNotEqual(before, after, "the new program does not run")
        self.broker.command("up all")
        self.assertEqual(self.wait_delivered(100), lines)

        machine.run(f"{RPM} --erase kafka-spool")
        self.assertFalse(machine.succeeds("systemctl is-active spool-forward@cdr"))
        self.assertFalse(machine.succeeds("test -e /usr/bin/spool-forward"))
        owner = machine.run(f"stat --format=%U {SPOOL}/data.mdb").strip()
        self.assertEqual(owner, "kafka-spool")


@unittest.skipUnless(case.has_opensips_tree(), case.NO_TREE)
class ModuleTest(unittest.TestCase):
    def test_it_goes_with_one_opensips_and_not_with_the_stock_module(self):
        version = case.opensips_version()
        said = root.run(
            f"f=/packages/one/opensips-kafka-spool-module-*.rpm; {RPM} --query --package --requires $f;"
            f" echo; {RPM} --query --package --conflicts $f; echo; {RPM} --query --package --provides $f",
            binds=[f"{built}:/packages"],
        )
        requires, conflicts, provides = said.split("\n\n")
        self.assertIn(f"opensips = {version}", requires.splitlines())
        for each in ("opensips-kafka-module", "opensips-event_kafka"):
            self.assertIn(each, conflicts.splitlines())
            self.assertIn(f"{each} = {version}", provides.splitlines())


if __name__ == "__main__":
    unittest.main()
