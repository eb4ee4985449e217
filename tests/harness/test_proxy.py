# SPDX-License-Identifier: GPL-2.0-or-later
"""The proxy must do what its faults say, and nothing without one."""

import socket
import struct
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import process, proxy  # noqa: E402

PATIENCE_S = 30
OTHER = 3  # some request that is no Produce


def frame(kind, text):
    return struct.pack(">ih", len(text) + 2, kind) + text


class Echo:
    """A server that says back what it gets; got: all of it."""

    def __init__(self):
        self.got = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    self.got += data
                    connection.sendall(data)
            except OSError:
                pass


class ProxyTest(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.addCleanup(self.echo.listener.close)
        (port,) = process.free_ports(1)
        self.proxy = proxy.Proxy(port, self.echo.port)
        self.addCleanup(self.proxy.close)

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.proxy.port), PATIENCE_S)
        self.addCleanup(client.close)
        return client

    def read(self, client, size):
        data = b""
        while len(data) < size:
            part = client.recv(size - len(data))
            self.assertTrue(part, f"it ended after {data!r}")
            data += part
        return data

    def exchange(self, client, sent):
        client.sendall(sent)
        self.assertEqual(self.read(client, len(sent)), sent)

    def assert_reset(self, client):
        with self.assertRaises(ConnectionResetError):
            while client.recv(65536):
                pass
            raise AssertionError("it ended in order")

    def assert_silent(self, client):
        client.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            client.recv(1)
        client.settimeout(PATIENCE_S)

    def test_passes_on_what_it_gets(self):
        client = self.connect()
        self.exchange(client, frame(OTHER, b"hello"))
        self.exchange(client, frame(proxy.PRODUCE, b"x" * 500000))
        self.assertEqual((self.proxy.hits_count, self.proxy.links_count), (0, 1))

    def test_the_end_of_one_side_ends_the_other(self):
        client = self.connect()
        self.exchange(client, frame(OTHER, b"hello"))
        self.proxy.reset()
        self.assert_reset(client)

    def test_refuses_and_accepts_again(self):
        client = self.connect()
        self.exchange(client, frame(OTHER, b"hello"))
        self.proxy.refuse()
        self.assert_reset(client)
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        self.proxy.accept()
        self.exchange(self.connect(), frame(OTHER, b"again"))

    def test_stalls_and_goes_on(self):
        client = self.connect()
        self.proxy.stall()
        client.sendall(frame(OTHER, b"late"))
        self.assert_silent(client)
        self.proxy.go_on()
        self.assertEqual(self.read(client, 10), frame(OTHER, b"late"))

    def test_half_open_connections_never_work_again(self):
        old = self.connect()
        self.exchange(old, frame(OTHER, b"hello"))
        self.proxy.half_open()
        new = self.connect()
        for client in (old, new):
            client.sendall(frame(OTHER, b"lost"))
            self.assert_silent(client)
        self.proxy.mend()
        for client in (old, new):
            client.sendall(frame(OTHER, b"lost"))
            self.assert_silent(client)
        self.exchange(self.connect(), frame(OTHER, b"again"))
        self.assertNotIn(b"lost", self.echo.got)

    def test_cuts_a_request_in_its_middle(self):
        self.proxy.cut("request", 1)
        client = self.connect()
        self.exchange(client, frame(OTHER, b"hello"))
        request = frame(proxy.PRODUCE, b"0123456789" * 100)
        client.sendall(request)
        self.assert_reset(client)
        half = frame(OTHER, b"hello") + request[: len(request) // 2]
        process.wait_until(lambda: self.echo.got == half, PATIENCE_S, "half of it arrives")
        self.assertEqual(self.proxy.hits_count, 1)
        self.exchange(self.connect(), request)

    def test_cuts_an_answer(self):
        self.proxy.cut("answer", 1)
        client = self.connect()
        request = frame(proxy.PRODUCE, b"payload")
        client.sendall(request)
        self.assert_reset(client)
        self.assertEqual(self.echo.got, request)

    def test_drops_a_request_and_not_the_next(self):
        self.proxy.drop(1)
        client = self.connect()
        client.sendall(frame(proxy.PRODUCE, b"first") + frame(proxy.PRODUCE, b"other"))
        self.assertEqual(self.read(client, 11), frame(proxy.PRODUCE, b"other"))
        self.assertEqual(self.echo.got, frame(proxy.PRODUCE, b"other"))

    def took_s(self, size, **faults):
        client = self.connect()
        for name, value in faults.items():
            setattr(self.proxy, name, value)
        begin = time.monotonic()
        self.exchange(client, frame(OTHER, b"x" * size))
        return time.monotonic() - begin

    def test_takes_time(self):
        self.assertGreaterEqual(self.took_s(10, latency_s=0.2), 0.4)
        self.proxy.mend()
        self.assertGreaterEqual(self.took_s(50000, bytes_per_s=500000), 0.1)

    def test_what_was_lost_comes_later(self):
        self.proxy.random.random = iter([0.0, 0.9, 0.9]).__next__
        self.assertGreaterEqual(self.took_s(10, loss=0.5), proxy.RETRANSMISSION_S)


if __name__ == "__main__":
    unittest.main()
