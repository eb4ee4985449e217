# SPDX-License-Identifier: GPL-2.0-or-later
"""
Clean Debian systems, in which packages are built, installed and run.

A CleanRoot is made by debootstrap once, and kept in ${XDG_CACHE_HOME:-~/.cache}/kafka-spool. Each use
sees it as it was made: what is changed in it is gone afterwards. It has the network of this machine,
so the embedded broker is reached at its address.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from harness import process

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "/usr/src/kafka-spool"

# A system that boots, and nothing else.
BASE_PACKAGES = "ca-certificates,dbus,systemd-sysv"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
BUILD_S = 900
PATIENCE_S = 120


def host_suite():
    for line in Path("/etc/os-release").read_text(encoding="ascii").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.split("=")[1]
    return ""


def mirror():
    """Where this machine's own packages come from."""
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]
    lines = subprocess.run(
        [*wanted, "Created-By: Packages"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for line in lines:
        uri, codename, component = line.split()
        if codename == host_suite() and component == "main":
            return uri
    raise unittest.SkipTest("not here: apt has no Debian mirror")


def apt_options():
    """This machine's ways to get at its mirror: proxies, and how old a mirror may be."""
    dump = subprocess.run(
        ["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True
    ).stdout
    return "".join(
        f"{each}\n" for each in dump.splitlines() if not each.startswith("Acquire::Chang")
    )


def nspawn_command(root, name, options):
    command = ["systemd-nspawn", "--quiet", "-D", str(root), "--machine", name, *options]
    # Without systemd on this machine there is nobody to ask for a unit, or to tell.
    if not Path("/run/systemd/system").exists():
        command += ["--register=no", "--keep-unit"]
    return command


class CleanRoot:
    """suite: Debian's name. recipe: commands that are run in it once, before it is kept."""

    def __init__(self, suite, recipe=()):
        self.suite = suite
        self.recipe = [f"debootstrap {BASE_PACKAGES} {mirror()}", *recipe]
        key = hashlib.sha256("\n".join(self.recipe).encode()).hexdigest()[:12]
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.folder = Path(home) / "kafka-spool" / "roots"
        self.path = self.folder / f"{suite}-{key}"
        self.uses = 0
        if os.geteuid() != 0:
            raise unittest.SkipTest("not here: only root makes clean roots")
        self._make()

    def _make(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"{self.path.name}.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.path.exists():
                return
            made = self.folder / f"{self.path.name}.new"
            shutil.rmtree(made, ignore_errors=True)
            if len(self.recipe) == 1:
                self._debootstrap(made)
            else:
                base = CleanRoot(self.suite)
                subprocess.run(["cp", "--archive", base.path, made], check=True)
                for each in self.recipe[1:]:
                    self._nspawn(made, [], ["sh", "-c", each], BUILD_S)
            made.rename(self.path)

    def _debootstrap(self, made):
        """In memory, and then to the disk: dpkg waits for the disk after each file."""
        memory = made.with_suffix(".memory")
        memory.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", memory], check=True)
        try:
            subprocess.run(
                ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}"]
                + [self.suite, str(memory), mirror()],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=BUILD_S,
                check=True,
            )
            (memory / "etc/apt/apt.conf.d/90test").write_text(apt_options(), encoding="utf-8")
            (memory / "etc/dpkg/dpkg.cfg.d/90test").write_text(
                "force-unsafe-io\n", encoding="utf-8"
            )
            subprocess.run(["cp", "--archive", memory, made], check=True)
        finally:
            subprocess.run(["umount", memory], check=True)
            memory.rmdir()

    def name(self):
        self.uses += 1
        return f"spool-{os.getpid()}-{id(self) % 10000}-{self.uses}"

    def _nspawn(self, path, options, command, deadline_s):
        options = [*options, f"--bind-ro={ROOT}:{SOURCE}", f"--chdir={SOURCE}", "--pipe"]
        options += [f"--setenv={key}={value}" for key, value in ENVIRONMENT.items()]
        done = subprocess.run(
            [*nspawn_command(path, self.name(), options), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=deadline_s,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout[-6000:]}")
        return done.stdout

    def run(self, command, *, binds=(), deadline_s=BUILD_S):
        """Runs a shell command in the sources' folder. Returns all that it printed."""
        options = ["--volatile=overlay", *(f"--bind={each}" for each in binds)]
        return self._nspawn(self.path, options, ["sh", "-c", command], deadline_s)

    def boot(self, log_path, *, binds=()):
        return Machine(self, log_path, binds)


class Machine:
    """A clean root that was booted. binds: "FOLDER:WHERE" of this machine that it sees."""

    def __init__(self, root, log_path, binds):
        options = ["--volatile=overlay", "--boot", "--console=pipe", f"--bind-ro={ROOT}:{SOURCE}"]
        options += [f"--bind={each}" for each in binds]
        # A test that is killed takes the machine with it.
        command = ["setpriv", "--pdeathsig", "TERM"]
        command += nspawn_command(root.path, root.name(), options)
        self.program = process.Program(command, log_path)
        self.leader = None
        try:
            self.leader = process.wait_until(
                self._leader, PATIENCE_S, "the container has a process 1"
            )
            process.wait_until(self._is_up, PATIENCE_S, "systemd has started the clean root")
        except TimeoutError as error:
            self.close()
            raise AssertionError(f"{error}: {self.program.log_tail()}") from error

    def _leader(self):
        if not self.program.is_alive():
            raise unittest.SkipTest(
                f"not here: systemd-nspawn cannot boot a root: {self.program.log_tail(2)}"
            )
        children = Path(f"/proc/{self.program.pid}/task/{self.program.pid}/children")
        for pid in children.read_text(encoding="ascii").split():
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            if status.startswith("Name:\tsystemd\n") and re.search(r"^NSpid:.*\t1$", status, re.M):
                return int(pid)
        return None

    def _is_up(self):
        state = self._enter("systemctl is-system-running", PATIENCE_S)
        return state.stdout.strip() in ("running", "degraded")

    def _enter(self, command, deadline_s):
        variables = [f"{key}={value}" for key, value in ENVIRONMENT.items()]
        return subprocess.run(
            ["nsenter", "--target", str(self.leader), "--all", "env", "--ignore-environment"]
            + [*variables, "sh", "-c", f"cd {SOURCE} && {command}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=deadline_s,
            text=True,
            errors="replace",
            check=False,
        )

    def run(self, command, *, code=0, deadline_s=BUILD_S):
        """Runs a shell command in the sources' folder. Returns all that it printed."""
        done = self._enter(command, deadline_s)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout[-6000:]}")
        return done.stdout

    def succeeds(self, command):
        return self._enter(command, PATIENCE_S).returncode == 0

    def journal(self, unit):
        return self.run(f"journalctl --no-pager --output=cat --unit={unit}")

    def close(self):
        """As a power cut would: nothing in it is asked."""
        if self.leader is not None and self.program.is_alive():
            os.kill(self.leader, signal.SIGKILL)
        else:
            self.program.signal(signal.SIGKILL)
        self.program.popen.wait(PATIENCE_S)
