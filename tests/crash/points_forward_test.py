# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-forward, killed -9 at the points of spool/point.h, loses nothing that it accepted."""

import hashlib
import shutil
import struct
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import point_case  # noqa: E402
from harness import process  # noqa: E402

ROUND = 5
ROUNDS = 5
REFUSED = 5

# Where LMDB's meta page says what.
AT_MAIN_ROOT = 128
AT_LAST_PAGE = 136
AT_TXN = 144
AT_PAGE_FLAGS = 10
PAGE_BYTES = 4096


def rounds(count=ROUNDS, size=ROUND, first=0):
    return [point_case.lines(first + i * size, size) for i in range(count)]


def newest_meta(data):
    """The meta page of the later transaction."""
    metas = [data[i * PAGE_BYTES : i * PAGE_BYTES + 152] for i in (0, 1)]
    return max(metas, key=lambda meta: struct.unpack_from("=Q", meta, AT_TXN))


class PointsForwardTest(point_case.PointCase):
    def publish(self, kill):
        """Published in some commits, delivered meanwhile."""
        published = point_case.Published()
        address = ["--broker", self.broker_address(), "--publish", "k1"]
        code = self.feed(published, rounds(), *address, kill=kill)
        died = self.has_died(code, kill)
        self.assert_kept(published)
        again = rounds(1, first=ROUNDS * ROUND)
        self.assertEqual(self.feed(published, again, *address, "--drain"), 0, self.log())
        self.assert_delivered(published)
        self.assertEqual(self.places()["queue"], [])
        self.assert_sound()
        return died

    def life(self, kill):
        """
        From its start to its end, in one folder: a new spool; one with a backlog of this and
        another destination; and once more. It dies at the same point in each.
        """
        published = point_case.Published()
        deaths = 0
        for number in range(3):
            address = ["--broker", self.nobodys_address(f"k{number}"), "--publish", f"k{number}"]
            some = rounds(2, first=number * 100)
            code = self.feed(published, some, *address, "--flush", "100", kill=kill)
            deaths += self.has_died(code, kill)
            self.assert_kept(published)
        self.assertIn(deaths, (0, 3) if kill else (0,), f"{kill}: it died {deaths} times")
        addresses = [self.broker_address(f"k{number}") for number in range(3)]
        self.drain(*addresses)
        self.assert_delivered(published)
        self.assert_sound()
        return deaths == 3

    def doubting(self, kill):
        """After owners that crashed in a row all pages are looked at."""
        published = point_case.Published()
        address = ["--broker", self.broker_address(), "--publish", "k1"]
        for number in range(2):
            some = rounds(1, first=number * 100)
            code = self.feed(published, some, *address, kill="batch.committed:1")
            self.assertEqual(code, point_case.DIED)
        died = self.has_died(self.feed(published, rounds(1), *address, kill=kill), kill)
        self.assert_kept(published)
        self.drain(self.broker_address())
        self.assert_delivered(published)
        return died

    def beginning(self, kill):
        """A spool that is only half made is made anew, or gone on with."""
        published = point_case.Published()
        address = ["--broker", self.broker_address(), "--publish", "k1"]
        died = self.has_died(self.feed(published, rounds(1), *address, kill=kill), kill)
        if died:
            self.assertEqual(published.accepted, [])
        self.assertEqual(self.feed(published, rounds(2), *address, "--drain"), 0, self.log())
        self.assert_delivered(published)
        self.assert_sound()
        return died

    def growing(self, kill):
        """More disk is claimed as the spool grows."""
        published = point_case.Published()
        # Not into the broker that the others look into again and again.
        self.embedded = self.start_broker()
        address = ["--broker", self.nobodys_address(), "--publish", "k1", "--flush", "0"]
        large = [[b"key|%d %s" % (i, b"x" * 900_000)] for i in range(40)]
        died = self.has_died(self.feed(published, large, *address, kill=kill), kill)
        self.assert_kept(published)
        self.drain(self.broker_address())
        self.assert_delivered(published)
        return died

    def expiring(self, kill):
        """Records whose time has passed become dead letters."""
        published = point_case.Published()
        address = self.nobodys_address(properties="&s.ttl.ms=1")
        words = ["--broker", address, "--publish", "k1"]
        died = self.has_died(self.feed(published, rounds(), *words, "--drain", kill=kill), kill)
        self.assert_kept(published)
        self.drain(address)
        self.assertLessEqual(published.sequences(), set(self.places()["dead"]))
        self.assert_sound()
        return died

    def stuck_rounds(self):
        """Their time passes while the client has them: the second comes when the first is settled."""
        for lines in rounds(2):
            yield lines
            time.sleep(2)

    def stuck(self, kill):
        """Records whose time passes while the client has them are taken back from it."""
        published = point_case.Published()
        address = self.nobodys_address(properties="&s.ttl.ms=500")
        words = ["--broker", address, "--publish", "k1"]
        code = self.feed(published, self.stuck_rounds(), *words, "--drain", kill=kill)
        died = self.has_died(code, kill)
        self.assert_kept(published)
        self.drain(address)
        self.assertLessEqual(published.sequences(), set(self.places()["dead"]))
        self.assert_sound()
        return died

    def dropping(self, kill):
        """At the limit of a destination the oldest records make room, and those alone."""
        limit = 10
        published = point_case.Published()
        address = self.nobodys_address(properties=f"&s.max.records={limit}&s.on.full=drop-oldest")
        words = ["--broker", address, "--publish", "k1", "--flush", "0"]
        self.assertEqual(self.feed(published, [], *words), 0, self.log())
        self.do("pause", "k1")
        died = self.has_died(self.feed(published, rounds(), *words, kill=kill), kill)
        self.assert_sound()
        waiting = self.places()["queue"]
        self.assertLessEqual(len(waiting), limit)
        # What is not there is older than all that is.
        newest = sorted(published.sequences())[-limit:]
        self.assertLessEqual(set(newest) - set(waiting), set(range(1, min(waiting))))
        self.do("resume", "k1")
        self.drain(self.broker_address())
        last = point_case.Published()
        last.offered = published.offered
        last.accepted = [each for each in published.accepted if each[0] in waiting]
        last.offered += [(key, payload) for _, key, payload in published.accepted]
        self.assert_delivered(last)
        return died

    def too_large(self):
        """Lines of three keys, which stay in order whichever batches the broker refuses."""
        for number in range(4):
            self.embedded.command("error Produce 1 MSG_SIZE_TOO_LARGE")
            yield [b"key-%d|payload-%d-%d" % (i % 3, number, i) for i in range(60)]
            time.sleep(0.2)

    def refused(self, kill):
        """The broker calls batches too large: they are tried one by one, and some are dead."""
        published = point_case.Published()
        self.embedded = self.start_broker()
        # Many batches: when the broker refuses one of them, others are still with the client.
        small = self.broker_address(properties="&g.batch.num.messages=10")
        address = ["--broker", small, "--publish", "k1"]
        code = self.feed(published, self.too_large(), *address, "--drain", kill=kill)
        died = self.has_died(code, kill)
        self.assert_kept(published)
        self.drain(self.broker_address())
        dead = set(self.places()["dead"])
        published.offered += [(key, payload) for _, key, payload in published.accepted]
        published.accepted = [each for each in published.accepted if each[0] not in dead]
        self.assert_delivered(published)
        self.assert_sound()
        return died

    def losing(self, kill):
        """The client fails for good: another one is made."""
        published = point_case.Published()
        self.embedded = self.start_broker()
        self.embedded.command("error Produce 3 OUT_OF_ORDER_SEQUENCE_NUMBER")
        address = ["--broker", self.broker_address(), "--publish", "k1"]
        code = self.feed(published, rounds(), *address, "--drain", kill=kill)
        died = self.has_died(code, kill)
        self.assert_kept(published)
        self.drain(self.broker_address())
        self.assert_delivered(published)
        return died

    def requeued(self, kill):
        """Dead letters are put back while it runs: it goes back to them."""
        published = point_case.Published()
        address = self.nobodys_address(properties="&s.ttl.ms=1")
        words = ["--broker", address, "--publish", "k1", "--drain"]
        self.assertEqual(self.feed(published, rounds(1), *words), 0, self.log())
        program = self.start("--broker", self.broker_address(), kill=kill)
        for sequence in sorted(published.sequences()):
            count = len(self.records())
            self.do("dead", "requeue", sequence, "--yes")
            try:
                process.wait_until(
                    lambda: len(self.records()) > count or not program.is_alive(), 30, "it goes on"
                )
            except TimeoutError as late:
                raise AssertionError(self.log()) from late
        died = self.has_died(program.terminate(), kill)
        self.assert_kept(published)
        self.drain(self.broker_address())
        self.assert_delivered(published)
        return died

    def reopening(self, kill):
        """The disk gives something else back for a while: the spool is opened again."""
        published = point_case.Published()
        words = ["--broker", self.nobodys_address(), "--publish", "k1", "-K", "|", "--ack"]
        started = self.start(*words, "--flush", "2500", kill=kill)
        some = point_case.lines(0, ROUND)
        started.write(some)
        published.note(some, started.read_sequences(ROUND))
        time.sleep(0.1)
        path = self.spool / "data.mdb"
        root = struct.unpack_from("=Q", newest_meta(path.read_bytes()), AT_MAIN_ROOT)[0]
        at = root * PAGE_BYTES + AT_PAGE_FLAGS
        with open(path, "r+b", buffering=0) as file:
            file.seek(at)
            flags = file.read(2)
            file.seek(at)
            file.write(b"\0\0")
            started.write([b"key|refused"])
            code, output = started.finish()
            file.seek(at)
            file.write(flags)
        self.assertEqual(output, b"")
        died = self.has_died(code, kill, REFUSED)
        self.assert_kept(published)
        self.drain(self.broker_address())
        self.assert_delivered(published)
        return died

    def setting_aside(self, kill):
        """A damaged spool is put aside as it was found, and a new one made."""
        published = point_case.Published()
        address = ["--broker", self.nobodys_address(), "--publish", "k1", "--flush", "0"]
        self.assertEqual(self.feed(point_case.Published(), rounds(1), *address), 0)
        path = self.spool / "data.mdb"
        with open(path, "r+b") as file:
            file.write(b"\xff" * 200)
        digest = hashlib.sha256(path.read_bytes()).digest()
        died = self.has_died(self.feed(published, rounds(1), *address, kill=kill), kill)
        self.assertEqual(self.feed(published, rounds(1, first=100), *address), 0, self.log())
        kept = [each for each in self.spool.glob("damaged-*/data.mdb")]
        self.assertEqual([hashlib.sha256(each.read_bytes()).digest() for each in kept], [digest])
        self.assert_kept(published)
        self.drain(self.broker_address())
        self.assert_delivered(published)
        return died

    def is_cut(self):
        """Whether the data file ends before its last page."""
        data = (self.spool / "data.mdb").read_bytes()
        last = struct.unpack_from("=Q", newest_meta(data), AT_LAST_PAGE)[0]
        return len(data) < (last + 1) * PAGE_BYTES

    def filling_up(self, kill):
        """A file whose last pages were free and never written is made as long as it is to be."""
        address = self.nobodys_address(properties="&s.max.records=1&s.on.full=drop-oldest")
        words = ["--broker", address, "--publish", "k1", "--flush", "0"]
        # Commits that leave free pages to the last one; in that one a large record is appended, and
        # dropped for a small one behind it.
        large = [b"key|large %d %s" % (i, b"x" * 9000) for i in range(5)]
        lines = [*rounds(6, 1), large + [b"key|small"]]
        for _ in range(point_case.TRIES):
            published = point_case.Published()
            self.assertEqual(self.feed(published, [], *words), 0, self.log())
            self.do("pause", "k1")
            self.assertEqual(self.feed(published, lines, *words), 0, self.log())
            if self.is_cut():
                break
            shutil.rmtree(self.spool)
        self.assertTrue(self.is_cut(), "the file is whole")
        died = self.has_died(self.feed(published, [], *words, kill=kill), kill)
        self.assert_sound()
        self.assertEqual(self.places()["queue"], [max(published.sequences())])
        self.assertEqual(self.feed(published, [], *words), 0, self.log())
        self.assert_sound()
        return died

    def turning(self, kill):
        """Pages that one commit freed, many of them, are used again by the next but one."""
        published = point_case.Published()
        address = ["--broker", self.nobodys_address(), "--publish", "k1", "--max-bytes", "1M"]
        words = [*address, "--flush", "0"]
        # A forwarder that reads holds pages back.
        self.assertEqual(self.feed(published, [], *words), 0, self.log())
        self.do("pause", "k1")
        died = self.has_died(self.feed(published, self.many(published), *words, kill=kill), kill)
        self.assert_kept(published)
        self.do("resume", "k1")
        self.drain(self.broker_address())
        self.assert_delivered(published)
        self.assert_sound()
        return died

    def many(self, published):
        """Most of what the spool takes, again and again; each time all is dropped by hand, at once."""
        for some in rounds(5, 500):
            yield [line + b" " + b"x" * 1000 for line in some]
            self.do("drop", "--all", "--yes")
            published.accepted.clear()


point_case.add_tests(PointsForwardTest)

if __name__ == "__main__":
    unittest.main()
