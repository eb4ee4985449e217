# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus that looks at what a test shows it, and answers queries."""

import http.server
import json
import subprocess
import threading
import urllib.parse
import urllib.request
from pathlib import Path

from harness import process

PATIENCE_S = 60


class Exporter:
    """Shows the output of a command as a page, made anew each time it is asked for."""

    def __init__(self, *command):
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = subprocess.run(
                    [str(each) for each in command], stdout=subprocess.PIPE, timeout=30, check=False
                ).stdout
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.target = f"127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


class Prometheus:
    """Scrapes these targets (job -> host:port) each second."""

    def __init__(self, folder, targets):
        folder = Path(folder)
        (port,) = process.free_ports(1)
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [at]}]} for job, at in targets.items()
        ]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
        self.url = f"http://127.0.0.1:{port}"
        self.program = process.Program(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            folder / "prometheus.log",
        )

    def query(self, expression):
        """The samples that it finds now: (labels, value)."""
        words = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{words}", timeout=30) as page:
            answer = json.load(page)
        assert answer["status"] == "success", answer
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def wait_query(self, expression, timeout_s=PATIENCE_S):
        """The same, once it finds something."""

        def found():
            try:
                return self.query(expression)
            except OSError:
                return None  # it is about to start

        try:
            return process.wait_until(found, timeout_s, f"an answer to {expression}")
        except TimeoutError as late:
            raise AssertionError(f"{late}\n{self.program.log_tail()}") from late

    def close(self):
        self.program.terminate()
