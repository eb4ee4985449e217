# SPDX-License-Identifier: GPL-2.0-or-later
"""
The OpenSIPS module's Debian package: installed beside an OpenSIPS, in place of the stock module, and
run. Debian has no opensips, so the test makes a package of the tree that the module was built for.
"""

import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import case  # noqa: E402
from harness import process  # noqa: E402

# proto_udp is in the program itself.
MODULES = ("signaling", "sl", "tm")
CONFIG = """\
log_level=3
stderror_enabled=no
syslog_enabled=yes
udp_workers=1
socket=udp:127.0.0.1:{port}
mpath="{modules}/"
{loads}
loadmodule "event_kafka.so"
modparam("event_kafka", "broker_id", "[cdr]{broker}/cdrs?{quick}")
route {{
    exit;
}}
timer_route[tick, 1] {{
    kafka_publish("cdr", "a call");
}}
"""
# In place of OpenSIPS's own, which is not of this project.
UNIT = """\
[Service]
Type=forking
User=opensips
RuntimeDirectory=opensips
PIDFile=/run/opensips/opensips.pid
ExecStart=/usr/sbin/opensips -P /run/opensips/opensips.pid -f /etc/opensips/opensips.cfg
"""
USER = "#!/bin/sh\nid opensips >/dev/null 2>&1 || useradd --system --user-group opensips\n"


def make_deb(folder, name, version, files, depends=""):
    """A package of these files (path: text, or Path to copy)."""
    tree = folder / name
    shutil.rmtree(tree, ignore_errors=True)
    for path, content in files.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, target)
        else:
            target.write_text(content, encoding="utf-8")
    scripts = tree / "DEBIAN"
    scripts.mkdir(parents=True, exist_ok=True)
    for script in scripts.iterdir():
        script.chmod(0o755)
    fields = [f"Package: {name}", f"Version: {version}", "Architecture: amd64"]
    fields += ["Maintainer: a test <test@localhost>", "Description: made by a test"]
    fields += [f"Depends: {depends}"] if depends else []
    (scripts / "control").write_text("\n".join([*fields, ""]), encoding="utf-8")
    made = folder / f"{name}_{version}.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", tree, made], check=True, capture_output=True
    )
    return made


@unittest.skipUnless(case.has_opensips_tree(), case.NO_TREE)
class ModulePackageTest(case.PackageCase):
    @classmethod
    def setUpClass(cls):
        cls.root = case.build_root()
        cls.version = case.opensips_version()
        cls.built = case.fresh_folder("module")
        cls.root.run(
            f"packaging/build-deb --output /out --opensips-tree {case.OPENSIPS_TREE}",
            binds=[f"{cls.built}:/out", *case.opensips_binds()],
        )
        cls.modules = (
            "usr/lib/"
            + subprocess.run(
                ["dpkg-architecture", "--query", "DEB_HOST_MULTIARCH"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            + "/opensips/modules"
        )

    def setUp(self):
        super().setUp()
        self.machine = self.boot(self.root, f"{self.built}:/packages", f"{self.folder}:/other")

    def make_opensips(self, version):
        tree = case.OPENSIPS_TREE
        files = {
            f"{self.modules}/{each}.so": tree / f"modules/{each}/{each}.so" for each in MODULES
        }
        files["usr/sbin/opensips"] = tree / "opensips"
        files["usr/lib/systemd/system/opensips.service"] = UNIT
        files["DEBIAN/postinst"] = USER
        return make_deb(self.folder, "opensips", version, files)

    def install_opensips(self):
        """With the stock module's package, which has a file at the same place."""
        stock = {f"{self.modules}/event_kafka.so": "the stock module\n"}
        opensips = self.make_opensips(f"{self.version}-1")
        module = make_deb(
            self.folder, "opensips-kafka-module", f"{self.version}-1", stock, "opensips"
        )
        self.machine.run(f"dpkg -i /other/{opensips.name} /other/{module.name}")

    def test_it_takes_the_stock_modules_place_and_runs(self):
        self.install_opensips()
        self.machine.run(
            "apt-get install --yes /packages/opensips-kafka-spool-module_*.deb /packages/kafka-spool_*.deb"
        )
        self.assertFalse(
            self.machine.succeeds("dpkg -s opensips-kafka-module | grep 'install ok installed'")
        )

        loads = "\n".join(f'loadmodule "{each}.so"' for each in ("proto_udp", *MODULES))
        config = self.folder / "opensips.cfg"
        config.write_text(
            CONFIG.format(
                port=process.free_ports(1)[0],
                modules=f"/{self.modules}",
                loads=loads,
                broker=self.broker.bootstrap,
                quick=case.QUICK,
            ),
            encoding="utf-8",
        )
        self.broker.command("down all")
        self.machine.run("mkdir -p /etc/opensips && cp /other/opensips.cfg /etc/opensips")
        # Somebody deleted it: the drop-in sees to it.
        self.machine.run("rm -rf /var/spool/opensips && systemctl start opensips")
        owner = self.machine.run("stat --format='%U %a' /var/spool/opensips/kafka").strip()
        self.assertEqual(owner, "opensips 750")
        shown = "spool-inspect ls --limit 0 --json 2>/dev/null | wc -l"
        process.wait_until(
            lambda: int(self.machine.run(shown)) >= 2,
            case.PATIENCE_S,
            "records wait in the default folder",
        )
        self.machine.run("systemctl restart opensips")
        self.broker.command("up all")
        self.assertEqual(set(self.wait_delivered(3)), {"a call"})
        self.machine.run("systemctl stop opensips")

        self.machine.run("dpkg --purge opensips-kafka-spool-module")
        self.assertTrue(self.machine.succeeds("test -s /var/spool/opensips/kafka/data.mdb"))

    def test_another_version_of_opensips_is_refused(self):
        major, minor, patch = self.version.split(".")
        newer = self.make_opensips(f"{major}.{minor}.{int(patch) + 1}-1")
        self.machine.run(f"dpkg -i /other/{newer.name}")
        said = self.machine.run(
            "apt-get install --yes /packages/opensips-kafka-spool-module_*.deb", code=100
        )
        self.assertIn("Depends: opensips (<", said)


if __name__ == "__main__":
    unittest.main()
