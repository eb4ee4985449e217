# SPDX-License-Identifier: GPL-2.0-or-later
"""
Scenarios that bring out a defect of the stock module. A scenario is a function that takes a Case
and raises Defect when it sees the defect; whatever else goes wrong is an ordinary failure.
"""

from typing import Callable, NamedTuple

from opensips import case, server


class Defect(AssertionError):
    """The defect was seen; the message says how."""


class Scenario(NamedTuple):
    name: str  # such as d01_publish_without_key
    run: Callable
    attempts: int  # that the stock module may need to show it; 0: it cannot show it from outside


SCENARIOS = []


def scenario(attempts=1):
    def register(function):
        SCENARIOS.append(Scenario(function.__name__, function, attempts))
        return function

    return register


def demand(holds, text):
    if not holds:
        raise Defect(text)


def demand_alive(one, after):
    demand(one.is_alive(), f"OpenSIPS is down after {after}")


def demand_clean_stop(test, one):
    try:
        test.stop(one)
    except AssertionError as failure:
        raise Defect(f"the stop: {failure}") from failure


def ask(one, *words, after):
    """An MI command that may kill the process that runs it. Returns its result, or the MiError."""
    try:
        return one.mi(*words, timeout_s=5)
    except server.MiError as refusal:
        return refusal
    except (TimeoutError, OSError) as silence:
        raise Defect(f"no answer to MI after {after}: {silence}") from silence


def demand_refused_at_start(test, script, mention, **options):
    """OpenSIPS must not start with this configuration, and say the word that is wrong."""
    one = test.server(script, start=False, **options)
    try:
        one.start()
    except server.StartError as end:
        bad = [line for line in str(end).splitlines() if server.BAD_LINE.search(line)]
        test.assertTrue(any(mention in line for line in bad), str(end)[-4000:])
        return
    one.kill9()
    raise Defect(f"it started, although {mention} is wrong")


def ours(test, parameters):
    """Parameters that the stock module does not have."""
    return "" if test.is_upstream else parameters


def is_soon(condition, timeout_s):
    """Whether the condition comes true."""
    try:
        case.process.wait_until(condition, timeout_s, "it")
        return True
    except TimeoutError:
        return False
