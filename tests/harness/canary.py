# SPDX-License-Identifier: GPL-2.0-or-later
"""
A secret that is easy to find again. Wherever it turns up, as it is or encoded, something has leaked
it.
"""

import base64
import urllib.parse
from pathlib import Path

# Fragments of a secret that is cut in the middle, as messages and buffers do.
FRAGMENT_BYTES = 12


def _base64_cores(data):
    """What base64 makes of data at each of the three places it can have in a longer text."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data)
        # Without the characters that depend on the neighbours.
        begin = (shift * 8 + 5) // 6
        end = (shift + len(data)) * 8 // 6
        yield encoded[begin:end]


def forms(secret):
    """name -> bytes, of each form in which a secret can leak."""
    data = secret.encode()
    found = {
        "itself": data,
        "hex": data.hex().encode(),
        "HEX": data.hex().upper().encode(),
        "URL-encoded": urllib.parse.quote(secret, safe="").encode(),
        "URL-encoded but for slashes": urllib.parse.quote(secret).encode(),
        "every byte URL-encoded": b"".join(b"%%%02x" % each for each in data),
        "in 16 bits": secret.encode("utf-16-le"),
    }
    for shift, core in enumerate(_base64_cores(data)):
        found[f"base64, shifted by {shift}"] = core
        found[f"base64 for URLs, shifted by {shift}"] = core.translate(
            bytes.maketrans(b"+/", b"-_")
        )
    for at in range(0, len(data) - FRAGMENT_BYTES + 1):
        found.setdefault(f"from its byte {at} on", data[at : at + FRAGMENT_BYTES])
    return found


def leaks(data, secrets):
    """(secret, form) of each secret that is in these bytes, or text, in the first form found."""
    if isinstance(data, str):
        data = data.encode(errors="surrogateescape")
    found = []
    for secret in secrets:
        form = next((name for name, each in forms(secret).items() if each in data), None)
        if form is not None:
            found.append((secret, form))
    return found


def leaks_in(folder, secrets, without=()):
    """(path, secret, form) for each file below a folder, but for those whose names are given."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.name not in without:
            found += [(str(path), *each) for each in leaks(path.read_bytes(), secrets)]
    return found
