# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in a topic, through topic-read and topic-admin; see tests/broker/record_line.h."""

import base64
import subprocess
import urllib.parse
from typing import NamedTuple, Optional, Union

from harness import process


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: Optional[bytes]
    spool_id: Optional[str]
    headers: list  # of (name, bytes or None)
    payload: Union[bytes, str, None]  # str: "LENGTH:CRC32" or "LENGTH"


class TopicError(RuntimeError):
    """A program failed; its message is what it said, code its exit code."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


def decode(text):
    return None if text == b"-" else base64.b64decode(text, validate=True)


def parse_headers(text):
    if text == b"-":
        return []
    headers = []
    for each in text.split(b","):
        name, _, value = each.partition(b"=")
        headers.append((urllib.parse.unquote(name.decode()), decode(value)))
    return headers


def parse_line(line, payload_form="base64"):
    columns = line.rstrip(b"\n").split(b"\t")
    if len(columns) != 8:
        raise ValueError(f"a record's line has {len(columns)} columns instead of 8")
    topic, partition, offset, timestamp_ms, key, spool_id, headers, payload = columns
    if payload_form == "base64":
        value = decode(payload)
    else:
        value = None if payload == b"-" else payload.decode()
    return Record(
        topic=urllib.parse.unquote(topic.decode()),
        partition=int(partition),
        offset=int(offset),
        timestamp_ms=int(timestamp_ms),
        key=decode(key),
        spool_id=None if spool_id == b"-" else urllib.parse.unquote(spool_id.decode()),
        headers=parse_headers(headers),
        payload=value,
    )


def parse_file(path, only=None):
    """
    Each record of the file, or of one topic alone: lines of others are not looked into. Nor is a
    last one that is still being written.
    """
    begin = b"" if only is None else only.encode() + b"\t"
    with open(path, "rb") as lines:
        for line in lines:
            if line.startswith(begin) and line.endswith(b"\n"):
                yield parse_line(line)


def property_options(properties):
    return [word for each in properties for word in ("--property", each)]


def read(brokers, topic, *, properties=(), expect=None, timeout_s=30, payload_form="base64"):
    """All records of a topic, one after the other. TopicError when it cannot be read."""
    arguments = [process.program("topic-read"), "--brokers", brokers, "--topic", topic]
    arguments += ["--timeout", str(timeout_s), "--payload", payload_form]
    arguments += property_options(properties)
    if expect is not None:
        arguments += ["--expect", str(expect)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        for line in reader.stdout:
            yield parse_line(line, payload_form)
        said = reader.stderr.read().decode(errors="replace").strip()
    if reader.returncode != 0:
        raise TopicError(said, reader.returncode)


def admin(brokers, *words, properties=(), timeout_s=30):
    """Runs a topic-admin command and returns its lines. TopicError when it fails."""
    arguments = [process.program("topic-admin"), "--brokers", brokers]
    arguments += ["--timeout", str(timeout_s)] + property_options(properties)
    result = subprocess.run(
        arguments + [str(word) for word in words], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise TopicError(result.stderr.strip(), result.returncode)
    return result.stdout.splitlines()
