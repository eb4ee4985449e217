# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenSIPS as tests use it: started with a configuration, asked over MI, stopped and judged."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from harness import process

# A loaded machine starts slowly; OpenSIPS itself needs less than a second.
START_S = 60
# OpenSIPS gives its processes 5 s to end, and then kills them.
STOP_S = 5
MI_S = 20
BAD_LINE = re.compile(r"\b(CRITICAL|BUG|ERROR):")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

GLOBALS = """\
log_level={log_level}
stderror_enabled=yes
syslog_enabled=no
udp_workers={workers}
{settings}
socket=udp:127.0.0.1:{sip_port}{socket_options}
mpath="{modules}/"
"""

# What each configuration needs to be talked to.
BASE_MODULES = ("proto_udp", "signaling", "sl", "tm", "mi_datagram")


def free_udp_ports(count):
    """Ports of 127.0.0.1 that are free for UDP and, as free_ports() sees to, for TCP."""
    while True:
        ports = process.free_ports(count)
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
        try:
            for each, port in zip(sockets, ports):
                each.bind(("127.0.0.1", port))
            return ports
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()


class MiError(RuntimeError):
    """A command was refused. code: JSON-RPC's or OpenSIPS's."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')} {error.get('message')} {error.get('data', '')}")
        self.code = error.get("code")


class StartError(RuntimeError):
    """OpenSIPS ended instead of starting; the message is the end of its log."""


class Config:
    """
    What OpenSIPS is started with. script: everything behind the module parameters: routes and
    more. modules: beside BASE_MODULES, loaded before event_kafka. settings: lines before the
    socket. parameters: lines before the script. spool: a folder for our module's records;
    None: the configuration says itself, or the stock module is used.
    """

    def __init__(self, tree, module, script, **options):
        self.tree = tree
        self.module = module
        self.script = script
        self.modules = list(options.pop("modules", ()))
        self.settings = options.pop("settings", "")
        self.parameters = options.pop("parameters", "")
        self.spool = options.pop("spool", None)
        self.workers = options.pop("workers", 4)
        self.log_level = options.pop("log_level", 3)
        self.socket_options = options.pop("socket_options", "")
        self.sip_port, self.mi_port = options.pop("ports", None) or free_udp_ports(2)
        if options:
            raise TypeError(f"unknown options: {sorted(options)}")

    def text(self):
        modules = [*BASE_MODULES, *self.modules]
        # Part of the core since 3.6.
        if "event_route[" in self.script and self.tree.version < (3, 6):
            modules.append("event_route")
        lines = [
            GLOBALS.format(
                log_level=self.log_level,
                workers=self.workers,
                settings=self.settings,
                sip_port=self.sip_port,
                socket_options=self.socket_options,
                modules=self.tree.path / "modules",
            ),
            *(f'loadmodule "{each}.so"' for each in modules),
            f'modparam("mi_datagram", "socket_name", "udp:127.0.0.1:{self.mi_port}")',
        ]
        if self.module is not None:
            lines.append(f'loadmodule "{self.module}"')
        if self.spool is not None:
            lines.append(f'modparam("event_kafka", "spool_dir", "{self.spool}")')
        return "\n".join([*lines, self.parameters, self.script, ""])


class Server:
    """
    One OpenSIPS, and the processes that it forks, in a session of their own. before: words put in
    front of the command. options: more words behind it.
    """

    def __init__(self, folder, config, *, shm_mb=64, pkg_mb=8, before=(), options=(), env=None):
        self.folder = Path(folder)
        self.config = config
        self.config_path = self.folder / "opensips.cfg"
        self.log_path = self.folder / "opensips.log"
        self.command = [*before, config.tree.binary, "-F", "-f", self.config_path]
        self.command += ["-m", shm_mb, "-M", pkg_mb, "-w", self.folder, *options]
        self.env = {**os.environ, **(env or {}), **self._sanitizers()}
        self.program = None
        self.log_begin = 0
        self.stop_seconds = None

    # --- Sanitizers ------------------------------------------------------------------------------

    def _sanitizers(self):
        """
        What a module that was built with sanitizers needs in a program that was not: their
        libraries before all others. Their reports go to files.
        """
        module = self.config.module
        if module is None or b"__asan_init" not in Path(module).read_bytes():
            return {}
        names = [["gcc", f"-print-file-name={each}"] for each in ("libasan.so", "libubsan.so")]
        found = [subprocess.run(each, capture_output=True, text=True, check=True) for each in names]
        options = f"log_path={self.folder}/sanitizer:exitcode=0"
        return {
            "LD_PRELOAD": ":".join(each.stdout.strip() for each in found),
            "ASAN_OPTIONS": options,
            "UBSAN_OPTIONS": f"{options}:print_stacktrace=1",
        }

    def sanitizer_reports(self):
        """What the sanitizers found in the module; OpenSIPS's own leaks are not ours to judge."""
        ours = re.compile(r"event_kafka\.so|/(spool|src)/[a-z_/]+\.[ch]:\d")
        texts = [each.read_text(errors="replace") for each in self.folder.glob("sanitizer.*")]
        blocks = [block for text in texts for block in text.split("\n\n")]
        return [each for each in blocks if ours.search(each)]

    # --- Life ------------------------------------------------------------------------------------

    def launch(self):
        """Starts it, without waiting."""
        self.config_path.write_text(self.config.text(), encoding="utf-8")
        self.log_begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.program = process.Program(
            self.command, self.log_path, start_new_session=True, env=self.env, cwd=self.folder
        )

    def start(self):
        """Starts it and waits until it answers. StartError when it ends instead."""
        self.launch()
        process.wait_until(self._is_ready, START_S, "OpenSIPS answers over MI")
        return self

    def _is_ready(self):
        if not self.program.is_alive():
            self.kill9()
            raise StartError(f"it ended with {self.program.popen.returncode}:\n{self.log()}")
        try:
            self.mi("uptime", timeout_s=0.3)
            return True
        except (TimeoutError, OSError):
            return False

    def pids(self):
        """All its processes that run: those of its session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    # Behind the name, which may hold anything: state, parent, group, session.
                    words = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
                except OSError:
                    continue
                if int(words[3]) == self.program.pid and words[0] != "Z":
                    found.append(int(entry.name))
        return found

    def cpu_seconds(self):
        """User and system time of all its processes so far."""
        total = 0
        for pid in self.pids():
            try:
                words = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            total += int(words[11]) + int(words[12])
        return total / CLOCK_TICKS

    def kill9(self):
        """All processes at once, as far as that can be."""
        try:
            os.killpg(self.program.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.program.popen.wait()
        process.wait_until(lambda: not self.pids(), 30, "the killed processes are gone")

    def terminate(self):
        """SIGTERM, and waits. Returns the exit code; stop_seconds says how long it took."""
        begin = time.monotonic()
        self.program.signal(signal.SIGTERM)
        try:
            self.program.popen.wait(60)
        except subprocess.TimeoutExpired:
            pass
        self.stop_seconds = time.monotonic() - begin
        left = self.pids()
        self.kill9()
        if left:
            raise AssertionError(f"processes {left} outlived OpenSIPS")
        return self.program.popen.returncode

    def is_alive(self):
        return self.program is not None and self.program.is_alive()

    # --- What it says ----------------------------------------------------------------------------

    def log(self):
        """What it logged since it was started last."""
        with open(self.log_path, "rb") as file:
            file.seek(self.log_begin)
            return file.read().decode(errors="replace")

    def bad_lines(self, expected=()):
        """Lines that say what should not be, but for those that match an expected expression."""
        return [
            line
            for line in self.log().splitlines()
            if BAD_LINE.search(line) and not any(re.search(each, line) for each in expected)
        ]

    def core_files(self):
        return sorted(self.folder.glob("core*"))

    # --- MI --------------------------------------------------------------------------------------

    def mi(self, method, *parameters, timeout_s=MI_S, **named):
        """Runs a command and returns its result. MiError: it was refused. TimeoutError."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method}
        if parameters or named:
            request["params"] = named or list(parameters)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout_s)
            client.connect(("127.0.0.1", self.config.mi_port))
            client.send(json.dumps(request).encode())
            answer = json.loads(client.recv(1 << 16))
        if "error" in answer:
            raise MiError(answer["error"])
        return answer.get("result")

    def statistic(self, name):
        """One number, by "group:name", or by its name alone."""
        group, colon, _ = name.partition(":")
        found = self.mi("get_statistics", [group + colon])
        return int(found[name] if colon else next(iter(found.values())))

    def process_ids(self, type_part):
        """The pids of the processes whose type has this text."""
        listed = self.mi("ps")["Processes"]
        return [each["PID"] for each in listed if type_part in each["Type"]]
