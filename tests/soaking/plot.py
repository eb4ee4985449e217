# SPDX-License-Identifier: GPL-2.0-or-later
"""The samples of a soak as a picture."""

import io
import re

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot  # noqa: E402

MIB = 1 << 20
# Of a line; the picture is to be small.
POINTS_MAX = 500
RESTARTS = ("kill -9", "power loss", "orderly restart")


def _line(axes, samples, field, label, scale=1.0):
    """Gaps where it could not be asked."""
    values = [getattr(each, field) for each in samples]
    if "anonymous" in field:
        values = [None if each.is_asan else value for each, value in zip(samples, values)]
    minutes = [each.seconds / 60 for each in samples]
    scaled = [float("nan") if each is None else each / scale for each in values]
    axes.plot(minutes, scaled, linewidth=1, label=label)


def _rates(axes, samples):
    """Accepted and delivered a second, from one sample to the next. At a start both are 0."""
    known = [each for each in samples if each.appended]
    pairs = list(zip(known, known[1:]))
    minutes = [later.seconds / 60 for _, later in pairs]
    for field, label in (("appended", "accepted"), ("delivered", "delivered")):
        rates = [
            (getattr(later, field) - getattr(sooner, field)) / (later.seconds - sooner.seconds)
            for sooner, later in pairs
        ]
        axes.plot(minutes, rates, linewidth=1, label=label)
    axes.set_yscale("symlog", linthresh=100)


def _mark(axes, events):
    """Grey: the broker is broken. Red: OpenSIPS ends. Blue: something is wrong with the disk."""
    kinds = {"broker": [], "restart": [], "disk": []}
    for who, what, begin_s, length_s in events:
        kind = who if who == "broker" else "restart" if what in RESTARTS else "disk"
        if who != "operator":
            kinds[kind].append((begin_s / 60, length_s / 60))
    everywhere = {"yrange": (0, 1), "transform": axes.get_xaxis_transform(), "linewidth": 0}
    axes.broken_barh(kinds["broker"], color="0.88", **everywhere)
    axes.broken_barh(kinds["disk"], color="tab:blue", alpha=0.15, **everywhere)
    begins = [begin for begin, _ in kinds["restart"]]
    axes.vlines(
        begins,
        *(0, 1),
        transform=axes.get_xaxis_transform(),
        color="tab:red",
        linewidth=0.5,
        alpha=0.6,
    )


def write(soak, path):
    samples = soak.sampler.samples
    samples = samples[:: 1 + len(samples) // POINTS_MAX]
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "soak", "font.size": 9})
    figure, (rates, queue, memory, file) = pyplot.subplots(4, 1, figsize=(11, 11), sharex=True)
    _rates(rates, samples)
    rates.set_ylabel("records a second")
    _line(queue, samples, "queue_records", "waiting")
    _line(queue, samples, "dead_records", "dead letters")
    queue.set_ylabel("records")
    _line(memory, samples, "kafka_anonymous", "process Kafka, anonymous", MIB)
    _line(memory, samples, "worker_anonymous", "largest SIP worker, anonymous", MIB)
    _line(memory, samples, "shm_used", "OpenSIPS's shared memory", MIB)
    memory.set_ylabel("MiB")
    _line(file, samples, "file_size", "data.mdb, size", MIB)
    _line(file, samples, "file_allocated", "data.mdb, on the disk", MIB)
    _line(file, samples, "disk_used", "pages in use", MIB)
    file.set_ylabel("MiB")
    file.set_xlabel(
        "minutes; grey: the broker is broken; red: OpenSIPS is killed, loses its power or is"
        " restarted; blue: the disk is full, stuck or slow"
    )
    for axes in (rates, queue, memory, file):
        _mark(axes, soak.context.events)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", fontsize=8)
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": "tests/soak"})
    # A tenth of a point is enough, and half the size.
    path.write_text(re.sub(r"(\d\.\d)\d+", r"\1", text.getvalue()), encoding="utf-8")
