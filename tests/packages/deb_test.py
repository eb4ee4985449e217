# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages: built in a clean root, judged, installed, run, upgraded, removed."""

import re
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import case  # noqa: E402
import guide  # noqa: E402
from harness import process  # noqa: E402

SPOOL = "/var/lib/kafka-spool/cdr"
COMMANDS_MAX = 10
GUIDE_S = 600

# What lintian finds and is meant so. The module's package has a drop-in for opensips.service and no
# script for another init: who starts OpenSIPS otherwise makes the spool's folder himself. (No override
# in the package: later versions of lintian do not know the tag.)
MEANT_TAGS = {"bookworm": ["package-supports-alternative-init-but-no-init.d-script"]}

root = None
built = None


def setUpModule():
    """Builds all packages once, in a folder that is not where the guide builds them."""
    global root, built
    root = case.build_root()
    built = case.fresh_folder("deb")
    command = "TMPDIR=/var/tmp packaging/build-deb --output /out"
    if case.has_opensips_tree():
        command += f" --opensips-tree {case.OPENSIPS_TREE}"
    root.run(command, binds=[f"{built}:/out", *case.opensips_binds()])


def deb(name, folder=None):
    """The package's file."""
    (found,) = (folder or built).glob(f"{name}_*.deb")
    return found


def with_version(package, version, folder):
    """The same package as a build of another version would make it."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    text = re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.M)
    control.write_text(text, encoding="utf-8")
    made = folder / f"kafka-spool_{version}_amd64.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", tree, made], check=True, capture_output=True
    )
    return made


class GuideTest(case.PackageCase):
    def test_a_new_user_follows_the_guide(self):
        """Each command of docs/install.md as it stands there, in a clean Debian."""
        made = case.fresh_folder("guide")
        machine = self.boot(case.clean_root(), f"{made}:/tmp/packages")
        make, run = guide.commands("Make the packages"), guide.commands("Run it")
        self.assertLess(len(make + run), COMMANDS_MAX)
        begin = time.monotonic()
        for each in make + run[:-1]:
            machine.run(each.replace("kafka1:9092", self.broker.bootstrap))
        self.assertEqual(self.wait_delivered(1), ["my first record"])
        self.assertLess(time.monotonic() - begin, GUIDE_S)
        process.wait_until(
            lambda: "healthy" in machine.run(run[-1], code=None), case.PATIENCE_S, "it is healthy"
        )

        names, differing = case.same_files(built, made)
        self.assertIn(deb("kafka-spool").name, names)
        self.assertIn(deb("kafka-spool-dbgsym").name, names)
        self.assertEqual(
            [each for each in differing if each.endswith(".deb")], [], "not reproducible"
        )


class JudgedTest(unittest.TestCase):
    def test_lintian_finds_nothing(self):
        meant = ",".join(MEANT_TAGS.get(case.SUITE, []))
        said = root.run(
            f"lintian --display-info --pedantic --fail-on=error,warning,info,pedantic --allow-root"
            f" {'--suppress-tags ' + meant if meant else ''} /packages/*.deb",
            binds=[f"{built}:/packages"],
        )
        self.assertNotRegex(said, r"(?m)^[EWIP]:")

    def test_the_service_may_do_little(self):
        """systemd's own score of what a service could do: 10 is everything."""
        said = root.run(
            "dpkg -i /packages/kafka-spool_*.deb >/dev/null && systemd-analyze security --offline=true"
            " --threshold=29 /usr/lib/systemd/system/spool-forward@.service",
            binds=[f"{built}:/packages"],
        )
        score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        self.assertLess(float(score[1]), 3, said)

    def test_the_units_are_valid(self):
        said = root.run(
            "dpkg -i /packages/kafka-spool_*.deb >/dev/null 2>&1 && touch /etc/kafka-spool/cdr.conf &&"
            " systemd-analyze verify spool-forward@cdr.service spool-forward@cdr.socket",
            binds=[f"{built}:/packages"],
        )
        self.assertNotIn("spool-forward@", said)


class InstalledCase(case.PackageCase):
    """The package installed in a system that has what it needs, its service configured."""

    def setUp(self):
        super().setUp()
        self.machine = self.boot(root, f"{built}:/packages", f"{self.folder}:/other")
        self.machine.run("dpkg -i /packages/kafka-spool_*.deb")
        self.configure(self.machine)

    def install(self, package):
        return self.machine.run(f"dpkg -i /other/{package.name}")

    def wait_waiting(self, count):
        process.wait_until(
            lambda: self.waiting(self.machine) == count, case.PATIENCE_S, f"{count} records wait"
        )

    def pid(self):
        return self.machine.run(
            "systemctl show --property=MainPID --value spool-forward@cdr"
        ).strip()


class UpgradeTest(InstalledCase):
    def test_an_upgrade_over_waiting_records_loses_none(self):
        self.start(self.machine)
        self.broker.command("down all")
        lines = [f"line {number}" for number in range(3000)]
        self.publish(self.machine, lines[:1000])
        self.wait_waiting(1000)
        pid = self.pid()
        newer = with_version(deb("kafka-spool"), "0.9.9", self.folder)
        writer = subprocess.Popen(
            ["nsenter", "--target", str(self.machine.leader), "--mount", "sh", "-c"]
            + [
                "i=1000; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); sleep 0.001; done"
                " >/run/kafka-spool/cdr"
            ]
        )
        self.addCleanup(writer.kill)
        self.install(newer)
        self.assertEqual(writer.wait(case.PATIENCE_S), 0)
        self.assertIn("0.9.9", self.machine.run("dpkg-query --show kafka-spool"))
        self.assertNotEqual(self.pid(), pid, "the new program does not run")
        self.wait_waiting(3000)
        self.broker.command("up all")
        self.assertEqual(self.wait_delivered(3000), lines)

    def test_an_older_version_refuses_a_newer_format_and_leaves_it_as_it_is(self):
        self.broker.command("down all")
        self.install(with_version(deb("kafka-spool"), "0.9.9", self.folder))
        self.start(self.machine)
        self.publish(self.machine, ["kept"])
        self.wait_waiting(1)
        self.machine.run("systemctl stop spool-forward@cdr")
        self.set_format("02")
        said = self.machine.run("dpkg -i /packages/kafka-spool_*.deb")
        self.assertIn("downgrading", said)
        self.machine.run("systemctl start spool-forward@cdr", code=None)
        process.wait_until(
            lambda: "use a newer version of this program"
            in self.machine.journal("spool-forward@cdr"),
            case.PATIENCE_S,
            "the journal says what to do",
        )
        self.assertIn("format 2", self.machine.journal("spool-forward@cdr"))
        self.machine.run("systemctl stop spool-forward@cdr")
        self.assertEqual(
            self.machine.run(f"ls -d {SPOOL}/damaged-*", code=None).count(SPOOL + "/damaged-2"), 0
        )
        self.set_format("01")
        self.broker.command("up all")
        self.machine.run("systemctl start spool-forward@cdr")
        self.assertEqual(self.wait_delivered(1), ["kept"])

    def set_format(self, byte):
        """Makes it a spool of another version's format."""
        self.machine.run(
            f"mdb_dump -s meta {SPOOL} >/tmp/meta && awk -v byte={byte}"
            ' \'/^ 666f726d6174$/ { print; getline; $0 = " " byte "000000" } { print }\' /tmp/meta'
            f" >/tmp/changed && mdb_load -f /tmp/changed -s meta {SPOOL}"
        )
        self.machine.run(f"chown kafka-spool: {SPOOL}/*")


class RemoveTest(InstalledCase):
    def test_neither_remove_nor_purge_deletes_a_spool(self):
        self.start(self.machine)
        self.broker.command("down all")
        self.publish(self.machine, ["kept"])
        self.wait_waiting(1)
        self.machine.run("dpkg --remove kafka-spool")
        self.assertFalse(self.machine.succeeds("systemctl is-active spool-forward@cdr"))
        self.assertTrue(self.machine.succeeds(f"test -s {SPOOL}/data.mdb"))
        said = self.machine.run("dpkg --purge kafka-spool")
        self.assertIn(f"{SPOOL} is kept", said)
        self.assertTrue(self.machine.succeeds(f"test -s {SPOOL}/data.mdb"))
        self.assertFalse(
            self.machine.succeeds(
                "test -L /etc/systemd/system/multi-user.target.wants/spool-forward@cdr.service"
            )
        )

        self.machine.run("dpkg -i /packages/kafka-spool_*.deb")
        self.start(self.machine)
        self.broker.command("up all")
        self.assertEqual(self.wait_delivered(1), ["kept"])

    def test_a_purge_without_spools_leaves_nothing(self):
        self.machine.run("rm /etc/kafka-spool/cdr.conf && mkdir -p /var/lib/kafka-spool/never-used")
        self.machine.run("dpkg --purge kafka-spool")
        self.assertFalse(self.machine.succeeds("ls -d /etc/kafka-spool /var/lib/kafka-spool"))


class ServiceTest(InstalledCase):
    def test_it_forwards_after_a_reboot_without_a_writer(self):
        """What waits is delivered by the start alone: nobody has to write a line first."""
        self.start(self.machine)
        self.broker.command("down all")
        self.publish(self.machine, ["waits"])
        self.wait_waiting(1)
        self.machine.run("systemctl stop spool-forward@cdr.service spool-forward@cdr.socket")
        self.broker.command("up all")
        self.machine.run("systemctl start multi-user.target")
        self.assertEqual(self.wait_delivered(1), ["waits"])

    def test_lines_wait_while_the_spool_is_full(self):
        self.configure(self.machine, options="--max-records 5")
        self.start(self.machine)
        self.broker.command("down all")
        lines = [f"line {number}" for number in range(100)]
        self.publish(self.machine, lines)
        process.wait_until(
            lambda: "lines wait in the pipe" in self.machine.journal("spool-forward@cdr"),
            case.PATIENCE_S,
            "the journal says that lines wait",
        )
        self.machine.run("systemctl restart spool-forward@cdr")
        self.broker.command("up all")
        process.wait_until(
            lambda: set(self.payloads()) == set(lines), case.PATIENCE_S, "all are delivered"
        )
        self.assertEqual(list(dict.fromkeys(self.payloads())), lines)

    def test_a_wrong_address_is_said_once(self):
        self.machine.run("echo 'ADDRESS=\"kafka1:9092\"' >/etc/kafka-spool/cdr.conf")
        self.machine.run("systemctl start spool-forward@cdr", code=1)
        self.assertIn("topic", self.machine.journal("spool-forward@cdr"))
        time.sleep(6)  # longer than RestartSec=
        state = self.machine.run("systemctl show --property=NRestarts,Result spool-forward@cdr")
        self.assertEqual(sorted(state.split()), ["NRestarts=0", "Result=exit-code"])

    def test_secrets_come_from_a_file_or_a_credential(self):
        for path, more in (
            ("/etc/kafka-spool/cdr.password", ""),
            (
                "/run/credentials/spool-forward@cdr.service/password",
                "mkdir -p /run/systemd/system/spool-forward@cdr.service.d && printf '[Service]\\n"
                "LoadCredential=password:/etc/kafka-spool/cdr.password\\n'"
                " >/run/systemd/system/spool-forward@cdr.service.d/password.conf &&"
                " chmod 0600 /etc/kafka-spool/cdr.password && systemctl daemon-reload",
            ),
        ):
            with self.subTest(path=path):
                self.machine.run(
                    "echo swordfish-7 >/etc/kafka-spool/cdr.password &&"
                    " chown root:kafka-spool /etc/kafka-spool/cdr.password &&"
                    " chmod 0640 /etc/kafka-spool/cdr.password"
                )
                self.machine.run(more or "true")
                self.machine.run(
                    f"echo 'ADDRESS=\"{self.broker.bootstrap}/cdrs?g.sasl.password.file={path}\"'"
                    " >/etc/kafka-spool/cdr.conf"
                )
                self.machine.run("systemctl restart spool-forward@cdr")
                self.publish(self.machine, [path])
                process.wait_until(
                    lambda: path in self.payloads(), case.PATIENCE_S, "it is delivered"
                )
                shown = self.machine.journal("spool-forward@cdr") + self.machine.run("ps ax")
                self.assertNotIn("swordfish-7", shown)

    def test_a_member_of_the_group_may_publish(self):
        self.start(self.machine)
        self.machine.run("useradd --groups kafka-spool switch && useradd stranger")
        self.machine.run("runuser -u switch -- sh -c 'echo by a member >/run/kafka-spool/cdr'")
        self.machine.run(
            "runuser -u stranger -- sh -c 'echo by a stranger >/run/kafka-spool/cdr'", code=2
        )
        self.assertEqual(self.wait_delivered(1), ["by a member"])


if __name__ == "__main__":
    unittest.main()
