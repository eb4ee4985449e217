# SPDX-License-Identifier: GPL-2.0-or-later
"""
Holds what came out of the topics against what was accepted, by the oracle, and the reports that
were run. The topics are read twice, so that no record has to be kept.
"""

import re

from harness import oracle
from soaking import traffic

REPORT = re.compile(rb"REPORT (-?\d+) ([0-9a-f-]{36}):(\d+)\s*$")
# Outcomes that a record can have: it is delivered, or it expired first.
STATUSES = {b"0", b"-1"}
SPOOL_ID = re.compile(r"[0-9a-f-]{36}:(\d+)")
BODY = re.compile(rb"(\d+)@(\w+) x*")
SUMMED = ("accepted", "delivered", "unacknowledged", "duplicates", "lost", "corrupt")
SUMMED += ("reordered", "split", "foreign")


def _comparable(record):
    """The record with its body's digest as the payload."""
    return record._replace(payload=oracle.digest(traffic.body_in(record), "crc32"))


class Judgement:
    """After read(): summary, and the sequence of each accepted record that has a report route."""

    def __init__(self, broker, load):
        self.broker = broker
        self.load = load
        self.stored_twice = []  # requests with two sequences
        self.given = set()  # sequences of accepted records
        self.given_twice = []  # requests with the sequence of another
        self.to_report = set()
        self.examples = {}
        self.summary = dict.fromkeys(SUMMED, 0)

    def read(self):
        for topic in sorted({kind.topic for kind in traffic.KINDS}):
            self._judge_topic(topic)
        return self

    def _sequences(self, topic):
        """kind's name -> request's number -> sequence."""
        found = {kind.name: {} for kind in traffic.KINDS if kind.topic == topic}
        for record in self.broker.read(topic):
            request = BODY.fullmatch(traffic.body_in(record) or b"")
            spool_id = SPOOL_ID.fullmatch(record.spool_id or "")
            if request and spool_id and request[2].decode() in found:
                numbers, sequence = found[request[2].decode()], int(spool_id[1])
                if numbers.setdefault(int(request[1]), sequence) != sequence:
                    self.stored_twice.append(f"{request[1]}@{request[2]}")
        return found

    def _judge_topic(self, topic):
        judge = oracle.Oracle("crc32")
        sequences = self._sequences(topic)
        # What is not in the topic gets a sequence that no record has, and so counts as lost.
        missing = -1
        for kind in (each for each in traffic.KINDS if each.topic == topic):
            accepted, offered = self.load.numbers(kind)
            for number in accepted:
                sequence = sequences[kind.name].get(number)
                if sequence is None:
                    missing -= 1
                    self.examples.setdefault("lost", []).append(f"{number}@{kind.name}")
                elif sequence in self.given:
                    self.given_twice.append(f"{number}@{kind.name}")
                    continue
                else:
                    self.given.add(sequence)
                if sequence is not None and kind.has_report:
                    self.to_report.add(sequence)
                published = (traffic.key_of(kind, number), traffic.body_of(kind, number))
                judge.accepted(missing if sequence is None else sequence, *published)
            for number in offered:
                judge.offered(traffic.key_of(kind, number), traffic.body_of(kind, number))
        for record in self.broker.read(topic):
            judge.consumed(_comparable(record))
        self._add(judge.summary())

    def _add(self, summary):
        for name in SUMMED:
            self.summary[name] += summary[name]
        for name, found in summary["examples"].items():
            if name != "lost":  # the oracle knows no names of what has no sequence
                self.examples.setdefault(name, []).extend(found)

    def judge_reports(self, log_path):
        """How often report routes ran, and what is wrong with them, into the summary."""
        run, again, bad = set(), 0, 0
        with open(log_path, "rb") as lines:
            for line in lines:
                found = REPORT.search(line)
                if found:
                    sequence = int(found[3])
                    again += sequence in run
                    run.add(sequence)
                    bad += found[1] not in STATUSES
        unreported = self.to_report - run
        self.summary.update(
            reports=len(run), reports_again=again, unreported=len(unreported), bad_reports=bad
        )
        if unreported:
            self.examples["unreported"] = sorted(unreported)[: oracle.EXAMPLES_MAX]

    def problems(self):
        """What must be 0 and is not, with examples."""
        names = ("lost", "corrupt", "reordered", "split", "foreign", "unreported", "bad_reports")
        found = {name: self.summary[name] for name in names if self.summary[name]}
        if self.stored_twice:
            found["stored twice"] = len(self.stored_twice)
        if self.given_twice:
            found["with the sequence of another"] = len(self.given_twice)
        return {
            name: (count, self.examples.get(name, [])[: oracle.EXAMPLES_MAX])
            for name, count in found.items()
        }
