# SPDX-License-Identifier: GPL-2.0-or-later
"""SIP over UDP, as far as the tests need it: a client with a window, and a server that answers."""

import itertools
import random
import re
import select
import socket
import threading
import time

REPLY_S = 30
DATAGRAM_BYTES = 65535
_numbers = itertools.count(1)
_run = f"{random.getrandbits(32):08x}"


def header(message, name):
    """The value of a message's first header of that name; None: it has none."""
    found = re.search(rf"^{name}[ \t]*:[ \t]*(.*?)\r?$", message, re.I | re.M)
    return found[1] if found else None


class Request:
    """One request. Its Call-ID is unique unless it is given."""

    def __init__(self, method="OPTIONS", body="", *, callid=None, user="test", headers=()):
        self.method = method
        self.body = body.encode() if isinstance(body, str) else body
        self.number = next(_numbers)
        self.callid = callid or f"{_run}-{self.number}"
        self.user = user
        self.headers = list(headers)
        self.cseq = 1
        self.to_tag = ""

    @property
    def branch(self):
        return f"z9hG4bK{_run}{self.number}"

    def to_bytes(self, from_port, to_port):
        lines = [
            f"{self.method} sip:{self.user}@127.0.0.1:{to_port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{from_port};branch={self.branch}",
            "From: <sip:tester@127.0.0.1>;tag=from",
            f"To: <sip:{self.user}@127.0.0.1>{self.to_tag}",
            f"Call-ID: {self.callid}",
            f"CSeq: {self.cseq} {self.method}",
            "Max-Forwards: 70",
            f"Contact: <sip:tester@127.0.0.1:{from_port}>",
            *self.headers,
            f"Content-Length: {len(self.body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class Client:
    """Sends requests and matches the final replies."""

    def __init__(self, to_port):
        self.to_port = to_port
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        # Connected: a port that nobody listens on is heard of.
        self.socket.connect(("127.0.0.1", to_port))
        self.port = self.socket.getsockname()[1]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _send(self, request):
        self.socket.send(request.to_bytes(self.port, self.to_port))

    def _receive(self):
        """(branch, status, message); None: nothing, or nobody listens."""
        try:
            message = self.socket.recv(DATAGRAM_BYTES).decode(errors="replace")
        except ConnectionRefusedError:
            return None
        status = re.match(r"SIP/2\.0 (\d{3})", message)
        branch = re.search(r"branch=([^;,\s]+)", header(message, "Via") or "")
        return (branch[1], int(status[1]), message) if status and branch else None

    def _acknowledge(self, request, status, message):
        """An INVITE's final reply is to be acknowledged; a refusal in the same transaction."""
        ack = Request("ACK", callid=request.callid, user=request.user)
        if status >= 300:
            ack.number = request.number
        ack.to_tag = (header(message, "To") or "").partition(">")[2]
        ack.cseq = request.cseq
        self._send(ack)

    def send_all(self, requests, window=20, timeout_s=REPLY_S):
        """
        Sends all, at most so many unanswered. Returns their final statuses, in order; None for
        one that got none within timeout_s after its sending.
        """
        requests = list(requests)
        statuses = [None] * len(requests)
        waiting = {}  # branch -> (number, deadline)
        at = 0
        while at < len(requests) or waiting:
            while at < len(requests) and len(waiting) < window:
                try:
                    self._send(requests[at])
                except ConnectionRefusedError:
                    pass  # of an earlier one
                if requests[at].method != "ACK":
                    waiting[requests[at].branch] = (at, time.monotonic() + timeout_s)
                at += 1
            if select.select([self.socket], [], [], 0.2)[0]:
                reply = self._receive()
                if reply is not None and reply[1] >= 200 and reply[0] in waiting:
                    number, _ = waiting.pop(reply[0])
                    statuses[number] = reply[1]
                    if requests[number].method == "INVITE":
                        self._acknowledge(requests[number], reply[1], reply[2])
            now = time.monotonic()
            for branch in [each for each, (_, end) in waiting.items() if end < now]:
                del waiting[branch]
        return statuses

    def send(self, request, timeout_s=REPLY_S):
        return self.send_all([request], timeout_s=timeout_s)[0]


class Callee:
    """Answers each request by the number that its URI's user part is, such as "200" or "486"."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while True:
            data, sender = self.socket.recvfrom(DATAGRAM_BYTES)
            if not data:
                return
            message = data.decode(errors="replace")
            request = re.match(r"(\w+) sip:(\d{3})@", message)
            if request and request[1] != "ACK":
                self.socket.sendto(self._reply(message, request[2]).encode(), sender)

    def _reply(self, message, status):
        head = message.partition("\r\n\r\n")[0].split("\r\n")
        wanted = ("via", "from", "to", "call-id", "cseq", "record-route")
        lines = [f"SIP/2.0 {status} Answer"]
        for line in head[1:]:
            name = line.partition(":")[0].strip().lower()
            if name in wanted:
                tag = ";tag=callee" if name == "to" and ";tag=" not in line else ""
                lines.append(line + tag)
        lines += [f"Contact: <sip:{status}@127.0.0.1:{self.port}>", "Content-Length: 0"]
        return "\r\n".join(lines) + "\r\n\r\n"

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()
