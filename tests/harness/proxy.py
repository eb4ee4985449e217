# SPDX-License-Identifier: GPL-2.0-or-later
"""
A TCP proxy between Kafka's clients and one broker, which does to connections what networks do.

It takes requests from clients as Kafka frames them (a length, then as many bytes), so that it can
hit one in its middle; so what it passes on must not be encrypted. All methods may be called from any
thread; the proxy itself runs in one of its own.
"""

import asyncio
import random
import socket
import struct
import threading

CHUNK_BYTES = 65536
PRODUCE = 0
# What waits to be sent on in one direction, while somebody is slow: beyond it nothing more is read.
QUEUED_CHUNKS_MAX = 64
# A lost packet is noticed and sent again after this; lost again, after twice that.
RETRANSMISSION_S = 0.2


class Link:
    """One connection of a client, and the proxy's own to the broker for it."""

    def __init__(self, client, broker):
        self.writers = (client, broker)
        self.is_deaf = False  # half-open: bytes are taken and lost, the end of one side is not told
        self.is_answerless = False  # so on the way back alone

    def reset(self):
        """Both sides see "connection reset", whatever was under way."""
        for writer in self.writers:
            if writer is None:
                continue
            try:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass  # it is closed
            writer.transport.abort()


class Proxy:
    """
    Listens at port and passes on to target_port, both of 127.0.0.1. Faults:

    refuse(), accept()      refuses connections, after it reset those there are; takes them again
    stall(), go_on()        passes nothing on; goes on with all that came meanwhile
    half_open(), accept()   swallows what comes on connections there are and on new ones; those
                            never work again, but their ends are not told
    latency_s               each way takes so much longer
    bytes_per_s             each connection and way is that narrow; None: not
    loss                    so many of the packets (0 to 1) are lost: to TCP's users, what is behind
                            waits for another sending
    cut("request", N)       the next N Produce requests end in their middle, by a reset
    cut("answer", N)        the next N Produce requests arrive; their answers do not, but a reset
    drop(N)                 the next N Produce requests are lost, those behind them are not: no
                            network does that, but it makes a broker see a gap

    hits_count is how many requests were cut or dropped, links_count how many connections there were.
    """

    def __init__(self, port, target_port, seed=0):
        self.port = port
        self.target_port = target_port
        self.random = random.Random(seed)
        self.latency_s = 0
        self.bytes_per_s = None
        self.loss = 0
        self.hits_count = 0
        self.links_count = 0
        self.pending = []  # what happens to the next Produce requests
        self.is_half_open = False
        self.links = set()
        self.tasks = set()
        self.server = None
        self.loop = asyncio.new_event_loop()
        self.flowing = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self._call(self._open())

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _open(self):
        if self.flowing is None:
            self.flowing = asyncio.Event()
            self.flowing.set()
        self.is_half_open = False
        if self.server is None:
            self.server = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port, limit=CHUNK_BYTES
            )

    # --- Faults

    def accept(self):
        self._call(self._open())

    def refuse(self):
        self._call(self._refuse())

    async def _refuse(self):
        if self.server is not None:
            self.server.close()
            self.server = None
        self._reset_all()

    def _reset_all(self):
        for link in list(self.links):
            link.reset()

    def reset(self):
        """Resets the connections that there are, whatever they are at."""

        async def reset():
            self._reset_all()

        self._call(reset())

    def stall(self):
        async def stall():
            self.flowing.clear()

        self._call(stall())

    def go_on(self):
        async def go_on():
            self.flowing.set()

        self._call(go_on())

    def half_open(self):
        async def half_open():
            self.is_half_open = True
            for link in self.links:
                link.is_deaf = True

        self._call(half_open())

    def cut(self, what, count):
        self._add({"request": "cut request", "answer": "cut answer"}[what], count)

    def drop(self, count):
        self._add("drop", count)

    def _add(self, what, count):
        async def add():
            self.pending += [what] * count

        self._call(add())

    def mend(self):
        """Ends all faults."""

        async def mend():
            self.latency_s = 0
            self.bytes_per_s = None
            self.loss = 0
            self.pending.clear()
            self.flowing.set()
            await self._open()

        self._call(mend())

    def close(self):
        async def close():
            await self._refuse()
            for task in list(self.tasks):
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        self._call(close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    # --- Passing on

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        link = Link(writer, None)
        link.is_deaf = self.is_half_open
        self.links.add(link)
        self.links_count += 1
        try:
            await self._pass(link, reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self.links.discard(link)
            self.tasks.discard(task)
            link.reset()

    async def _pass(self, link, reader, writer):
        # A half-open connection that is new has nobody behind it.
        if link.is_deaf:
            while await reader.read(CHUNK_BYTES):
                pass
            return
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        link.writers = (writer, broker_writer)
        ways = [
            asyncio.ensure_future(self._way(link, self._requests(link, reader), broker_writer)),
            asyncio.ensure_future(self._way(link, self._chunks(broker_reader), writer)),
        ]
        try:
            # Until one side ends; the other is told by a reset, unless the connection is half-open.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if link.is_deaf:
                await asyncio.wait(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _way(self, link, source, writer):
        """One direction: a queue between reading and sending on, for what takes time on the way."""
        queue = asyncio.Queue(QUEUED_CHUNKS_MAX)
        sender = asyncio.ensure_future(self._send(link, queue, writer))
        try:
            async for chunk in source:
                put = asyncio.ensure_future(queue.put((self._due(), chunk)))
                await asyncio.wait([put, sender], return_when=asyncio.FIRST_COMPLETED)
                if sender.done():
                    put.cancel()
                    return
            await queue.put((0, None))
            await sender
        finally:
            sender.cancel()

    def _due(self):
        due = self.loop.time() + self.latency_s
        wait = RETRANSMISSION_S
        while self.random.random() < self.loss:
            due += wait
            wait *= 2
        return due

    async def _send(self, link, queue, writer):
        while True:
            due, chunk = await queue.get()
            if chunk is None:
                return
            await asyncio.sleep(due - self.loop.time())
            if self.bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / self.bytes_per_s)
            await self.flowing.wait()
            if link.is_deaf or (link.is_answerless and writer is link.writers[0]):
                continue
            writer.write(chunk)
            await writer.drain()

    async def _chunks(self, reader):
        while chunk := await reader.read(CHUNK_BYTES):
            yield chunk

    async def _requests(self, link, reader):
        while True:
            size = await reader.readexactly(4)
            request = size + await reader.readexactly(int.from_bytes(size, "big"))
            is_produce = int.from_bytes(request[4:6], "big") == PRODUCE
            fault = self.pending.pop(0) if is_produce and self.pending else None
            if fault is None:
                yield request
                continue
            self.hits_count += 1
            if fault == "drop":
                continue
            link.is_answerless = True
            yield request[: len(request) // 2] if fault == "cut request" else request
            # What was yielded is on its way to the broker; a moment, so that it arrives.
            await asyncio.sleep(0.05 + 2 * self.latency_s)
            link.reset()
            return
