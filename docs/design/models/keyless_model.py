"""Tables without a key: the multiset hand-off. Read README.md.

  python3 keyless_model.py [--length N] [--seed S] [--random R]

The source's table is a list of rows that may be equal. The target keeps each row under (digest, number);
the model's digest is the row. Claims: ../keyless.md. Exit 1 if a part does not say what it must say.
"""
import argparse
import collections
import itertools
import random
import sys
import time

ROWS = ("x", "y", None)
MUTANTS = ("rows in flight may be taken again", "rows of the window may be taken again", "numbers come from the sequence",
           "the catch-up begins again", "a cut transaction is not counted", "an update is one step",
           "what was loaded before a crash stays", "any instant", "all equal rows are taken", "numbers begin again",
           "rows in flight cannot be taken", "another reader takes a range over")


class Wrong(Exception):
    """The target is not what it has to be."""


def changes(rows):
    """Every change of one row: (row before, row after); None for no row."""
    for row in sorted(set(rows), key=str):
        yield row, "gone"
        for other in ROWS:
            if other != row:
                yield row, other
    if len(rows) < 3:
        for row in ROWS:
            yield "gone", row


def applied(rows, change):
    rows, (old, new) = list(rows), change
    if old != "gone":
        rows.remove(old)
    if new != "gone":
        rows.append(new)
    return tuple(sorted(rows, key=str))


def histories(length):
    def grow(rows, log, states):
        if len(log) == length:
            yield log, states
            return
        for change in changes(rows):
            after = applied(rows, change)
            yield from grow(after, log + [change], states + [after])
    for start in (("x", "x"), ("x", "y", None)):
        yield from grow(start, [], [start])


class Protocol:
    """All states of one table over one history. The durable part: rows as {(digest, number)}, the fence
    (transactions, changes), the epoch. `flight`: a commit that was sent and may or may not have
    happened when the next read comes; it is (taken keys, inserted keys, fence)."""

    def __init__(self, log, states, mutant=None):
        self.log, self.mutant = log, mutant
        self.states = states

    def run(self):
        start = ("begin", frozenset(), 0)
        seen, todo = {start}, [start]
        while todo:
            for state in getattr(self, todo[-1][0])(*todo.pop()[1:]):
                if state not in seen:
                    seen.add(state)
                    todo.append(state)
        if not any(s[0] == "lane" and s[2] == (len(self.log), 0) for s in seen):
            raise Wrong("the end is never reached")
        return len(seen)

    def begin(self, rows, epoch):
        """A start, or a snapshot that was lost: what was loaded goes. At most two crashes in the load."""
        if self.mutant != "what was loaded before a crash stays":
            rows = frozenset()
        for low in range(len(self.log) + 1):
            highs = range(low, len(self.log) + 1) if self.mutant == "any instant" else (low,)
            for high in highs:
                yield "load", rows, epoch + 1, low, high, 0
        if self.mutant == "another reader takes a range over":
            # Two sessions of one instant read one range, each in its own order.
            for at in range(len(self.log) + 1):
                both = [frozenset((r, (epoch + 1, n)) for n, r in enumerate(o)) for o in set(itertools.permutations(self.states[at]))]
                for one, other in itertools.product(both, both):
                    yield "lane", one | other, (at, 0), None, epoch + 1, len(self.states[at]), (at, 0)

    def load(self, rows, epoch, at, position, count):
        if epoch <= 2:
            yield "begin", rows, epoch
        loaded = self.states[at]
        if count == len(loaded):
            yield "lane", rows, (position, 0), None, epoch, count, (position, 0)
        else:
            yield "load", rows | {(loaded[count], (epoch, count))}, epoch, at, position, count + 1

    def lane(self, rows, fence, flight, epoch, given, began):
        """`given`: how many numbers this process has given out."""
        if flight is None and fence[1] == 0:
            found = collections.Counter(digest for digest, _ in rows)
            if found != collections.Counter(self.states[fence[0]]):
                raise Wrong(f"at {fence[0]}: target {dict(found)}, source {self.states[fence[0]]}")
        if flight:
            yield "lane", self.landed(rows, flight), flight[2], None, epoch, given, began
        if epoch < 4:
            again = {"the catch-up begins again": began, "a cut transaction is not counted": (fence[0], 0)}
            at = again.get(self.mutant, fence)
            yield "lane", rows, at, None, epoch + 1, 0, began
            if flight:
                yield "lane", self.landed(rows, flight), again.get(self.mutant, flight[2]), None, epoch + 1, 0, began
        stands = flight[2] if flight else fence
        if stands[0] == len(self.log):
            return
        # The next commit is expanded while the one in flight may have happened or not.
        number, done = stands
        transaction = self.log[number]
        for count in {1, len(transaction) - done}:
            moved = (number + 1, 0) if done + count == len(transaction) else (number, done + count)
            reads = [rows, self.landed(rows, flight)] if flight else [rows]
            for read in reads:
                sent = self.expand(read, flight, transaction[done:done + count], epoch, given, number)
                if flight is None:
                    yield "lane", rows, fence, (*sent[:2], moved), epoch, sent[2], began
                else:
                    yield "lane", self.landed(rows, flight), flight[2], (*sent[:2], moved), epoch, sent[2], began

    def landed(self, rows, flight):
        taken, inserted, _ = flight
        if self.mutant == "an update is one step":
            # An update writes the new values over the row: under equal keys the last one wins.
            inserted = frozenset((d, n) for d, n in inserted)
        return frozenset(rows - taken) | inserted

    def expand(self, read, flight, part, epoch, given, sequence):
        """What a commit takes and inserts."""
        mutant, taken, inserted = self.mutant, set(), set()
        sent_taken, sent_inserted = (flight[0], flight[1]) if flight else (frozenset(), frozenset())
        for index, (old, new) in enumerate(part):
            if old != "gone":
                known = set(read)
                if mutant != "rows in flight may be taken again":
                    known -= sent_taken
                if mutant != "rows in flight cannot be taken":
                    known |= sent_inserted
                known |= inserted
                if mutant != "rows of the window may be taken again":
                    known -= taken
                found = sorted((k for k in known if k[0] == old), key=str)
                if not found:
                    raise Wrong(f"no row {old} is left to take")
                for key in found if mutant == "all equal rows are taken" else found[:1]:
                    if key in inserted:
                        inserted.discard(key)
                    else:
                        taken.add(key)
            if new != "gone":
                if mutant == "an update is one step" and old != "gone":
                    number = (0, 0)
                elif mutant == "numbers come from the sequence":
                    number = (0, sequence)
                elif mutant == "numbers begin again":
                    number = (0, given)
                else:
                    number = (epoch, given)
                inserted.add((new, number))
                given += 1
        return frozenset(taken), frozenset(inserted), given


def partitions(log, states):
    single = [[c] for c in log]
    yield single, states
    for i in {0, len(log) - 2}:
        if i >= 0:
            yield single[:i] + [log[i:i + 2]] + single[i + 2:], states[:i + 1] + states[i + 2:]
    if len(log) > 2:
        yield [log], [states[0], states[-1]]


def check(source, mutant=None):
    runs = total = 0
    for log, states in source:
        for transactions, boundaries in partitions(log, states):
            runs += 1
            try:
                total += Protocol(transactions, boundaries, mutant).run()
            except Wrong as wrong:
                return runs, total, f"start {states[0]}; {log}: {wrong}"
    return runs, total, None


def randomly(count, length, seed):
    rng = random.Random(seed)
    for _ in range(count):
        rows = rng.choice((("x", "x"), ("x", "y", None)))
        log, states = [], [rows]
        for _ in range(length):
            log.append(rng.choice(list(changes(rows))))
            rows = applied(rows, log[-1])
            states.append(rows)
        yield log, states


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=40)
    parser.add_argument("--random-length", type=int, default=4)
    a = parser.parse_args()
    began, fine = time.monotonic(), True
    runs, total, wrong = check(histories(a.length))
    fine &= wrong is None
    print(f"{'holds' if not wrong else 'FAILS'}: the multiset is exact: {runs:,} histories, {total:,} states {wrong or ''}", flush=True)
    runs, total, wrong = check(randomly(a.random, a.random_length, a.seed))
    fine &= wrong is None
    print(f"{'holds' if not wrong else 'FAILS'}: longer ones, seed {a.seed}: {runs:,} histories, {total:,} states {wrong or ''}", flush=True)
    for mutant in MUTANTS:
        _, _, wrong = check(itertools.chain(histories(a.length), randomly(a.random, a.random_length, a.seed)), mutant)
        fine &= wrong is not None
        print(f"  {mutant}: {'caught: ' + wrong if wrong else 'NOT CAUGHT'}", flush=True)
    print(f"{time.monotonic() - began:.1f} s")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
