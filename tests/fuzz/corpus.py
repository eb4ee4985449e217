# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the fuzz targets start from, and how it is kept.

    SPOOL_BUILD_DIR=build/fuzz python3 tests/fuzz/corpus.py keep FOLDER
    SPOOL_BUILD_DIR=build/fuzz python3 tests/fuzz/corpus.py bases FOLDER

"bases" makes the sound spools of the target "spool" in FOLDER. "keep" takes from FOLDER/TARGET, where a long run left its inputs, the fewest that reach as much, and puts
them into the tree: tests/fuzz/corpus/TARGET.tar.xz. The files in tests/fuzz/corpus/TARGET are
written by hand, or are findings of old; each has a name that says what it is.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import process  # noqa: E402

# How long an input may be: longer ones find nothing new, and cost.
TARGETS = {
    "address": 4096,
    "headers": 4096,
    "import": 4096,
    "notification": 1024,
    "record": 4096,
    "spool": 256,
}
# Tens of executions a second, not thousands.
SLOW = {"spool"}
DICTIONARIES = {
    "address": ("address",),
    "headers": ("json",),
    "import": ("import", "json"),
}
# What is kept of a target in the tree, compressed.
KEPT_BYTES_MAX = 50_000


def program(target):
    return process.program(f"{target}-fuzz")


def make_bases(folder):
    """The sound spools of the target "spool": one of each format, and one of this version."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for archive in sorted((HERE.parent / "format").glob("format-*.tar.xz")):
        with tarfile.open(archive) as tar, tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            tar.extractall(scratch)
            (Path(scratch) / "spool").rename(folder / archive.name.partition(".")[0])
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        subprocess.run([process.program("mutate-bases"), scratch], check=True, timeout=120)
        (Path(scratch) / "small").rename(folder / "small")


def environment(bases):
    return {**os.environ, "SPOOL_FUZZ_BASES": str(bases)}


def unpack(target, folder):
    """Puts the kept inputs of a target into a folder, which is made."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    archive = HERE / "corpus" / f"{target}.tar.xz"
    if archive.exists():
        with tarfile.open(archive) as tar:
            tar.extractall(folder)


def seeds(target):
    return HERE / "corpus" / target


def dictionary(target, folder):
    """One dictionary of all that a target uses; None when it uses none."""
    names = DICTIONARIES.get(target)
    if names is None:
        return None
    path = Path(folder) / f"{target}.dict"
    texts = [(HERE / "dictionary" / f"{each}.dict").read_text(encoding="utf-8") for each in names]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def pack(folder):
    """An archive that depends on the inputs alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for path in sorted(folder.iterdir()):
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            with open(path, "rb") as file:
                tar.addfile(entry, file)
    return buffer.getvalue()


def keep(target, grown, scratch):
    """Merges what a long run found into the tree's corpus."""
    merged = Path(scratch) / f"{target}-merged"
    merged.mkdir()
    make_bases(Path(scratch) / f"{target}-bases")
    sources = [seeds(target), grown]
    unpack(target, Path(scratch) / f"{target}-kept")
    sources.append(Path(scratch) / f"{target}-kept")
    subprocess.run(
        [program(target), "-merge=1", f"-max_len={TARGETS[target]}", merged, *sources],
        env=environment(Path(scratch) / f"{target}-bases"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    by_hand = {each.read_bytes() for each in seeds(target).iterdir()}
    for path in list(merged.iterdir()):
        if path.read_bytes() in by_hand:
            path.unlink()
    # The smallest first: most of what is reached is reached by small ones.
    by_size = sorted(merged.iterdir(), key=lambda each: (each.stat().st_size, each.name))
    packed = pack(merged)
    while len(packed) > KEPT_BYTES_MAX:
        for path in by_size[-len(by_size) // 10 - 1 :]:
            path.unlink()
            by_size.remove(path)
        packed = pack(merged)
    (HERE / "corpus" / f"{target}.tar.xz").write_bytes(packed)
    print(f"{target}: {len(by_size)} inputs, {len(packed)} bytes")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("keep", "bases"):
        sys.exit(__doc__)
    if sys.argv[1] == "bases":
        make_bases(sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as scratch:
        for target in TARGETS:
            grown = Path(sys.argv[2]) / target
            if grown.is_dir():
                keep(target, grown, scratch)


if __name__ == "__main__":
    main()
