"""Tables of engines without transactions (MyISAM, Aria, MEMORY): the plain hand-off. Read README.md.

  python3 plain_engine_model.py [--statements N]

A statement becomes visible row by row; it is logged before its first row is visible, or behind its last
one (both are tried); then it lets go of the table. The reader sees rows as they are at the moment of each
read. Claims: ../non-transactional.md. Exit 1 if a part does not say what it must say.
"""
import argparse
import itertools
import sys
import time

KEYS = ("a", "b")
MUTANTS = ("no lock before the reading", "no lock behind the reading", "high is taken before the reading",
           "high is taken before the lock", "low is taken after the reading", "low is taken again",
           "changes begin behind high", "complete without high", "a failed statement is not logged",
           "emptied by a restart, unseen")
ONCE_MUTANTS = ("no lock before the reading", "no lock behind the reading", "changes are not looked for")


class Wrong(Exception):
    """The target is not what it has to be."""


def statements():
    """Changes of one or two keys. The last may fail half way: what it has done stays, and is logged."""
    for key in KEYS:
        yield ((key, 7),)
        yield ((key, None),)
    yield (("a", None), ("b", 8))
    yield (("b", None), ("a", 9))


def put(rows, key, value):
    rows = {k: v for k, v in rows if k != key}
    if value is not None:
        rows[key] = value
    return tuple(sorted(rows.items()))


def after(start, history):
    rows = start
    for ops in history:
        for key, value in ops:
            rows = put(rows, key, value)
    return rows


class Source:
    """Steps of the source: (visible rows, statements logged, place within the statement under way)."""

    def __init__(self, history, logged_first, mutant):
        self.history, self.logged_first, self.mutant = history, logged_first, mutant

    def step(self, rows, logged, number, place):
        """The next state, or None at the end. `number`: the statement; `place`: its next step; 0 is rest."""
        if number == len(self.history):
            return None
        ops = self.history[number]
        steps = ["log", *ops] if self.logged_first else [*ops, "log"]
        if place == len(steps):
            return rows, logged, number + 1, 0
        step = steps[place]
        if step == "log":
            logged += 1
        else:
            rows = put(rows, *step)
        return rows, logged, number, place + 1


def explore(start, history, logged_first, mutant=None, crashes=1, once=False):
    """All interleavings of the statements with one reader. Returns the number of states."""
    source = Source(history, logged_first, mutant)
    # source: (rows, logged, number, place); reader: (step, low, high, rows read by key, crashes)
    todo = [((start, 0, 0, 0), ("low", None, None, (), crashes))]
    seen = set(todo)
    ends = 0
    while todo:
        src, (step, low, high, got, left) = todo.pop()
        rows, logged, number, place = src
        out = []
        moved = source.step(*src)
        if moved:
            out.append((moved, (step, low, high, got, left)))
        free = place == 0
        if step == "low":
            out.append((src, ("before", logged if low is None or mutant == "low is taken again" else low,
                              logged if mutant == "high is taken before the reading" else high, got, left)))
        elif step == "before":
            if free or mutant == "no lock before the reading":
                out.append((src, ("a", low, high, got, left)))
        elif step in KEYS:
            value = dict(rows).get(step)
            next_step = "b" if step == "a" else "behind"
            known = dict(got)
            if step not in known:
                known[step] = value
            out.append((src, (next_step, low, high, tuple(sorted(known.items())), left)))
            if left:
                # What has been read stays for a plain hand-off; a reading that must be one begins again.
                out.append((src, ("low", None if once else low, high, () if once else got, left - 1)))
        elif step == "behind":
            if free or mutant == "no lock behind the reading":
                known = high if mutant == "high is taken before the reading" else logged
                known = low if mutant == "complete without high" else known
                at = logged if mutant == "low is taken after the reading" else low
                out.append((src, ("done", at, known, got, left)))
            elif mutant == "high is taken before the lock":
                out.append((src, ("done", low, logged, got, left)))
        elif step == "done":
            ends += 1
            check(start, history, low, high, got, mutant, once)
        for state in out:
            if state not in seen:
                seen.add(state)
                todo.append(state)
    if not ends:
        raise Wrong("the end is never reached")
    return len(seen)


def check(start, history, low, high, got, mutant, once):
    rows = tuple(sorted((k, v) for k, v in got if v is not None))
    if once:
        if low == high or mutant == "changes are not looked for":
            expect(rows, after(start, history[:high]), high)
        return
    begin = high if mutant == "changes begin behind high" else low
    log = [() if mutant == "a failed statement is not logged" and len(ops) > 1 else ops for ops in history]
    for w in range(high, len(history) + 1):
        target = rows
        for ops in log[begin:w]:
            for key, value in ops:
                target = put(target, key, value)
        expect(target, after(start, history[:w]), w)


def expect(target, source, at):
    if target != source:
        raise Wrong(f"at {at}: target {dict(target)}, source {dict(source)}")


def restart(mutant):
    """A MEMORY table that a restart has emptied: the emptying is an event like any other, or it is unseen."""
    start = (("a", 1), ("b", 1))
    history = ((("a", 7),), (("a", None), ("b", None)), (("b", 7),))
    log = [ops for ops in history if mutant is None or len(ops) == 1]
    for low in range(len(log) + 1):
        seen = after(start, history[:low])
        target = seen
        for ops in log[low:]:
            for key, value in ops:
                target = put(target, key, value)
        expect(target, after(start, history), len(log))


def all_of(length, mutant=None, once=False):
    total = 0
    for start in ((("a", 1),), (("a", 1), ("b", 1))):
        for history in itertools.product(statements(), repeat=length):
            for logged_first in (False, True):
                total += explore(start, history, logged_first, mutant, once=once)
    return total


def caught(mutant, run):
    try:
        run()
    except Wrong as wrong:
        print(f"  {mutant}: caught: {wrong}", flush=True)
        return True
    print(f"  {mutant}: NOT CAUGHT", flush=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=3)
    a = parser.parse_args()
    began, fine = time.monotonic(), True
    for name, once in (("the plain hand-off is exact at and past high", False),
                       ("a reading without a change between its ends is one state", True)):
        try:
            print(f"holds: {name}: {all_of(a.statements, once=once):,} states", flush=True)
        except Wrong as wrong:
            print(f"FAILS: {name}: {wrong}", flush=True)
            fine = False
    restart(None)
    for mutant in MUTANTS:
        run = (lambda m=mutant: restart(m)) if mutant.startswith("emptied") else (lambda m=mutant: all_of(2, m))
        fine &= caught(mutant, run)
    for mutant in ONCE_MUTANTS:
        fine &= caught(mutant + " (one state)", lambda m=mutant: all_of(2, m, True))
    print(f"{time.monotonic() - began:.1f} s")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
