# SPDX-License-Identifier: GPL-2.0-or-later
"""The search for leaked secrets finds each planted leak, and nothing else."""

import base64
import sys
import tempfile
import unittest
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import canary  # noqa: E402

SECRET = "cNry?7Qx/Zk3v>W9~pLm2=TfR8ü"
OTHER = "another-5ecret-of-2026"


class CanaryTest(unittest.TestCase):
    def assert_found(self, data):
        self.assertEqual([secret for secret, _ in canary.leaks(data, [OTHER, SECRET])], [SECRET])

    def test_each_form_is_found(self):
        data = SECRET.encode()
        planted = [
            SECRET,
            f"password={SECRET}!",
            data.hex(),
            data.hex().upper(),
            urllib.parse.quote(SECRET),
            urllib.parse.quote(SECRET, safe=""),
            SECRET.encode("utf-16-le"),
            data[:14] + b"...",
            b"..." + data[-14:],
        ]
        for each in planted:
            with self.subTest(each):
                self.assert_found(each)

    def test_base64_is_found_wherever_it_stands(self):
        for before in range(6):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                with self.subTest(f"{before} bytes before, {encode.__name__}"):
                    self.assert_found(encode(b"user:\0"[:before] + SECRET.encode() + b" more"))

    def test_other_text_is_none(self):
        self.assertEqual(canary.leaks("cNry?7Qx and pLm2", [SECRET]), [])
        self.assertEqual(canary.leaks(b"", [SECRET]), [])
        self.assertEqual(canary.leaks(bytes(range(256)) * 10, [SECRET, OTHER]), [])

    def test_a_folder_is_searched(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "in" / "it"
            path.parent.mkdir()
            path.write_bytes(b"\0" * 5000 + base64.b64encode(SECRET.encode()))
            ((found, secret, _),) = canary.leaks_in(folder, [OTHER, SECRET])
            self.assertEqual((found, secret), (str(path), SECRET))
            self.assertEqual(canary.leaks_in(folder, [SECRET], without=["it"]), [])


if __name__ == "__main__":
    unittest.main()
