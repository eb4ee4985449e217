# SPDX-License-Identifier: GPL-2.0-or-later
"""A small ext4 of its own for the spool, and what can happen to it: full, slow, without power."""

import errno
import fcntl
import os
import struct
import subprocess
import time

# ioctl EXT4_IOC_SHUTDOWN, and the flag by which not even the journal is flushed: what was not
# flushed until now is gone, as after a power loss, and every later write fails.
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_FLUSH = 2
UMOUNT_S = 30


def _run(*command):
    subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True)


class Disk:
    """Mounted from the start until close(). Needs root and a loop device."""

    def __init__(self, folder, size_bytes):
        self.image = folder / "disk.img"
        self.path = folder / "disk"
        self.filler = self.path / "filler"
        self.unflushed = self.path / "unflushed"
        self.is_frozen = False
        self.path.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-m", "0", "-F", self.image)
        self._mount()

    def _mount(self):
        _run("mount", "-o", "loop", self.image, self.path)

    def _unmount(self):
        """A process that was just killed may hold it for a moment."""
        deadline = time.monotonic() + UMOUNT_S
        while True:
            try:
                _run("umount", self.path)
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def close(self):
        self.thaw()
        if os.path.ismount(self.path):
            self._unmount()

    # --- Full

    def fill(self):
        """Not one byte more fits."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (1 << 20, 65536, 4096, 256, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self):
        self.filler.unlink(missing_ok=True)

    # --- Slow

    def freeze(self):
        """Each write and flush waits until thaw()."""
        _run("fsfreeze", "--freeze", self.path)
        self.is_frozen = True

    def thaw(self):
        if self.is_frozen:
            _run("fsfreeze", "--unfreeze", self.path)
            self.is_frozen = False

    # --- Without power

    def cut_power(self):
        """From now on nothing more reaches the disk. Only restore_power() ends it."""
        self.unflushed.write_bytes(b"x" * 4096)
        root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(root, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(root)

    def restore_power(self):
        """
        Mounts what had reached the disk. Nobody may have a file of it open, nor the disk in another
        mount namespace: it would stay as it is.
        """
        self._unmount()
        self._mount()
        if self.unflushed.exists() and self.unflushed.stat().st_size > 0:
            raise RuntimeError("the power loss took nothing away")
        with open(self.path / "probe", "wb") as probe:
            os.fsync(probe.fileno())
