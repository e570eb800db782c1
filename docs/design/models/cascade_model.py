"""Cascades that the source's log does not show: which hand-off is exact? Read README.md.

  python3 cascade_model.py [--length N] [--seed S] [--random R] [--only PART]

Exit 1 if a part does not say what it must say.
"""
import argparse
import itertools
import random
import sys
import time

from cascade_target import MUTANTS, Protocol, View, Wrong, commit, expand
from cascade_world import CASCADE, NULL, RESTRICT, Edge, Event, Refused, Source, Table, World, at, histories, levels, \
    random_history, statements, worlds


def world_named(name):
    return next(w for w in worlds() if w.name == name)


def replay(world, rows, events):
    for event in events:
        rows = commit(world, rows, expand(world, View(lambda: rows), event))
    return rows


def newer(length):
    """Plain hand-off: each table is read at a position of its own, all changes are replayed. Must be wrong."""
    def renames(log):
        return any(e.old and e.new and e.old[0] != e.new[0] for e in log)
    renamed = next(w for w, _ in levels() if w.name == "one level, on update")
    kinds = [("a row is left over", world_named("chain"), lambda g, w, log: len(g) > len(w) and not renames(log)),
             ("a row is lost", world_named("chain"), lambda g, w, log: len(g) < len(w) and not renames(log)),
             ("a key is renamed twice", renamed, lambda g, w, log: set(g) == set(w) and renames(log))]
    fine = True
    for kind, world, is_kind in kinds:
        found = first_newer(world, length, is_kind)
        fine &= found is not None
        if found:
            start, log, positions, got, want = found
            print(f"  {kind}: start {show(start)}; {'; '.join(map(line, log))}; read at {positions}: "
                  f"target {show(got)}, source {show(want)}")
    return expect("expanding a cascade on a newer target is wrong", fine)


def first_newer(world, length, is_kind):
    for few in range(1, length + 1):
        for log, states in histories(world, few):
            for positions in itertools.product(range(few + 1), repeat=len(world.tables)):
                read = dict(zip(world.tables, positions))
                rows = {p: row for t, i in read.items() for p, row in states[i].items() if p[0] == t}
                got = replay(world, rows, log)
                if got != states[-1] and is_kind(got, states[-1], log):
                    return states[0], log, read, got, states[-1]
    return None


def show(db):
    return "{" + ", ".join(f"{t}{r}" for (t, _), r in sorted(db.items())) + "}"


def line(event):
    if event.old is None:
        return f"insert {event.table}{event.new}"
    return f"delete {event.table}{event.old}" if event.new is None else f"update {event.table}{event.old} to {event.new}"


def partitions(log, states):
    """The history as transactions: each change alone; with a transaction of others at each place; the first
    two, or the last two, together."""
    single = [[e] for e in log]
    yield single, states
    for i in range(len(log) + 1):
        yield single[:i] + [[]] + single[i:], states[:i + 1] + states[i:]
    for i in {0, len(log) - 2}:
        if i >= 0:
            yield single[:i] + [log[i:i + 2]] + single[i + 2:], states[:i + 1] + states[i + 2:]


def exact(length, mutant=None, sample=None):
    """The exact component under every crash. Returns (runs, states, the first thing that is wrong)."""
    runs = total = 0
    for world in [world_named(MUTANTS[mutant])] if mutant else worlds():
        few = min(length, 2) if len(world.tables) > 3 or world.unchecked or "self" in world.name else length
        source = histories(world, few) if sample is None else sample(world)
        for log, states in source:
            for transactions, boundaries in partitions(log, states):
                runs += 1
                try:
                    total += Protocol(world, transactions, boundaries, mutant).run()
                except Wrong as wrong:
                    return runs, total, f"{world.name}: start {show(states[0])}; {'; '.join(map(line, log))}: {wrong}"
    return runs, total, None


def exactness(length):
    runs, states, wrong = exact(length)
    print(f"  {runs:,} histories, {states:,} states of the protocol{', ' + wrong if wrong else ''}")
    return expect("an exact component is exact under every crash", wrong is None)


def mutants(length):
    fine = True
    for mutant in MUTANTS:
        _, _, wrong = exact(length, mutant)
        print(f"  {mutant}: {'caught: ' + wrong[:150] if wrong else 'NOT CAUGHT'}")
        fine &= wrong is not None
    return expect("every mutant is caught", fine)


def randomly(count, length, seed):
    def sample(world):
        rng = random.Random(f"{seed} {world.name}")
        return (random_history(world, length, rng) for _ in range(count))
    runs, states, wrong = exact(length, sample=sample)
    print(f"  seed {seed}: {runs:,} histories of {length} statements, {states:,} states{', ' + wrong if wrong else ''}")
    return expect("longer histories at random", wrong is None)


def one_level(length):
    """One level of ON DELETE actions: rows read at any position, replay from `low`, a crash anywhere and the
    replay once more."""
    fine = True
    for world, holds in levels():
        wrong, runs = None, 0
        for log, states in histories(world, length):
            places = sorted({p for s in states for p in s})
            for positions in itertools.product(range(length + 1), repeat=len(places)):
                rows = {p: states[i][p] for p, i in zip(places, positions) if p in states[i]}
                for crash in range(length + 1):
                    runs += 1
                    if replay(world, replay(world, rows, log[:crash]), log) != states[-1]:
                        wrong = wrong or f"start {show(states[0])}; {'; '.join(map(line, log))}"
            if wrong:
                break
        print(f"  {world.name}: {'not exact: ' + wrong if wrong else f'exact in {runs:,} runs'}")
        fine &= (wrong is None) == holds
    return expect("plain replay is exact for one level of ON DELETE actions, and for nothing more", fine)


def windows(length):
    """Reads of the target while a commit is in flight: the first change is sent, the others are expanded. Each
    read may come before or after that commit."""
    def run(world, log, start, mask, forgets=None):
        count = itertools.count()
        start = world.selected(start)
        base = View(lambda: start)
        sent = expand(world, base, log[0])
        after = commit(world, start, sent)
        overlay = {} if forgets == "the commit in flight" else dict(base.overlay)
        view = View(lambda: after if mask >> min(next(count), 5) & 1 else start, overlay)
        opened = []
        for event in log[1:]:
            if forgets == "the open window":
                view.overlay = dict(overlay)
            opened += expand(world, view, event)
        return commit(world, after, opened)
    fine, runs = True, 0
    for world in worlds():
        few = 2 if len(world.tables) > 3 or world.unchecked or "self" in world.name else length
        for log, states in histories(world, few):
            for mask in (0, 63, 1, 2, 21, 42):
                runs += 1
                fine &= run(world, log, states[0], mask) == world.selected(states[-1])
    print(f"  {runs:,} runs")
    for forgets in ("the commit in flight", "the open window"):
        caught = any(run(world_named("chain"), log, states[0], mask, forgets) != states[-1]
                     for log, states in histories(world_named("chain"), 3) for mask in (0, 63))
        print(f"  forgets {forgets}: {'caught' if caught else 'NOT CAUGHT'}")
        fine &= caught
    return expect("what is sent and what is open count, wherever a read falls", fine)


def logged(length):
    """MySQL 9.7 carries cascades out above the engine and logs them, marked, the root row last (measured). A
    marked event is never expanded: REPLACE logs a delete and an insert, and keeps the children of the key."""
    fine, runs, lost = True, 0, None
    for world in worlds():
        if world.unselected:
            continue
        few = 2 if len(world.tables) > 3 or world.unchecked or "self" in world.name else length
        for log, states in histories(world, few):
            rows = dict(states[0])
            for event in log:
                shown = expand(world, View(lambda: dict(rows)), event, None, "parents first")
                for table, old, new in shown[1:] + shown[:1]:
                    rows = commit(world, rows, [(table, old, new)])
                runs += 1
            fine &= rows == states[-1]
            for (table, _), row in states[-1].items():
                deleted = expand(world, View(lambda: states[-1]), Event(table, row, None))
                if len(deleted) > 1 and commit(world, commit(world, states[-1], deleted), [(table, None, row)]) != states[-1]:
                    lost = lost or f"replace {table}{row} in {show(states[-1])}"
    print(f"  {runs:,} events; the marker is ignored: {'caught: ' + lost if lost else 'NOT CAUGHT'}")
    return expect("a cascade that is logged is applied as it is logged", fine and lost is not None)


def refused(world):
    """Whether the result of a cascade may depend on the order in which one constraint's rows are taken: then
    the component is refused. See ../cascades.md, "The order"."""
    def writes(e):
        return set(e.columns) if e.on_delete == NULL or e.on_update in (NULL, CASCADE) else set()
    down = {t: world._down(t) | {t} for t in world.tables}
    actions = [e for e in world.edges if e.on_delete != RESTRICT or e.on_update != RESTRICT]
    for first in actions:
        reached = [e for e in actions if e is first or e.parent in down[first.child]]
        for e1, e2 in itertools.permutations(reached, 2):
            below = {c for e in world.below[e1.child] for c in e.parent_columns}
            if e1.child == e2.child and writes(e1) & (set(e2.columns) | below):
                return True
    return False


def random_graph(rng):
    """Tables A, B, … with (id, a, b) and edges of every kind to tables before, to themselves, or in a circle."""
    names = "ABCD"[:rng.randint(2, 4)]
    edges = []
    for i, child in enumerate(names):
        for _ in range(rng.randint(0 if i == 0 else 1, 2)):
            parent = names[rng.randint(0, i)] if rng.random() < 0.9 else rng.choice(names)
            columns, referenced = rng.choice([((1,), (0,)), ((2,), (0,)), ((1, 2), (0, 1)), ((0,), (0,)), ((1,), (1,))])
            if (child, columns) == (parent, referenced):
                continue
            on_update = rng.choice([CASCADE, NULL, RESTRICT])
            if columns == (0,) and on_update == NULL:
                on_update = RESTRICT
            on_delete = CASCADE if columns == (0,) else rng.choice([CASCADE, CASCADE, NULL])
            name = f"{rng.randint(0, 99):02}{len(edges)}"
            edges.append(Edge(name, child, columns, parent, referenced, on_delete, on_update))
    n = None
    shape = Table((0,), ((1, 2, 3), (n, 1, 2, 3), (n, 1, 2, 3)))
    return World("random", {t: shape for t in names}, edges, [])


def random_rows(world, rng):
    """A state that satisfies every foreign key and in which what is referenced is unique."""
    db = {(t, (i,)): (i, rng.choice((None, 1, 2, 3)), rng.choice((None, 1, 2, 3))) for t in world.tables for i in (1, 2, 3)}
    gone = True
    while gone:
        gone = set()
        for (t, k), row in db.items():
            for e in world.above[t]:
                value = at(row, e.columns)
                if None not in value and not any(p[0] == e.parent and at(r, e.parent_columns) == value for p, r in db.items()):
                    gone.add((t, k))
            for e in world.below[t]:
                value = at(row, e.parent_columns)
                if any(p[0] == t and p < (t, k) and at(r, e.parent_columns) == value for p, r in db.items()):
                    gone.add((t, k))
        for place in gone:
            del db[place]
    return db


def siblings():
    """Rows C of one R: X is deleted by way of one of them, and set to NULL by way of another one."""
    n = None
    shape = Table((0,), ((1, 2, 3), (n, 1, 2, 3), (n, 1, 2, 3)))
    edges = [Edge("a", "C", (2,), "R", (0,)), Edge("b", "Y", (2,), "C", (0,)), Edge("c", "X", (1,), "C", (1,), NULL),
             Edge("d", "X", (1,), "Y", (0,))]
    return World("siblings", {t: shape for t in "RCYX"}, edges, [])


def orders(count, seed):
    """Random mixed graphs: where the rule takes a graph, the order of rows makes no difference; where it refuses
    them, it sometimes does. The order of constraints often does."""
    rng = random.Random(f"{seed} orders")
    taken = turned_down = by_rows = by_names = changes = pieces = wrong_pieces = 0
    fine = True

    def backwards(rows, key):
        return sorted(rows, key=key, reverse=True)
    for number in range(count):
        world = siblings() if number == 0 else random_graph(rng)
        is_refused = refused(world)
        taken, turned_down = taken + (not is_refused), turned_down + is_refused
        row_matters = False
        for _ in range(6 if number else 60):
            db = random_rows(world, rng)
            events = [e for e in statements(world, db) if e.old is not None and (e.new is None or sum(x != y for x, y in zip(e.old, e.new)) == 1)]
            for event in rng.sample(events, min(len(events), 12)):
                try:
                    want = Source(world).run(db, event)
                except Refused:
                    continue
                changes += 1
                got = commit(world, db, expand(world, View(lambda: db), event, None, None, backwards))
                row_matters |= got != want
                other = commit(world, db, expand(world, View(lambda: db), event, None, "constraints in another order"))
                by_names += other != want
                effects = expand(world, View(lambda: db), event)
                fine &= commit(world, db, effects) == want
                # A crash behind each effect: the change is expanded again from what is left.
                for sent in range(1, len(effects)):
                    left = commit(world, db, effects[:sent])
                    again = commit(world, left, expand(world, View(lambda: left), event))
                    pieces += 1
                    if again != want:
                        wrong_pieces += 1
                        if not is_refused:
                            fine = False
                            if wrong_pieces < 4:
                                print("  another result from what is left:", world.edges, show(db), line(event), effects[:sent], show(again), show(want))
        by_rows += row_matters
        if row_matters and not is_refused:
            fine = False
            print("  the rule takes a graph in which the order of rows matters:", world.edges)
    print(f"  seed {seed}: {taken} graphs taken, {turned_down} refused (in {by_rows} of them the order of rows was seen to matter); "
          f"{changes:,} changes, in {by_names} of them the order of constraints matters; {pieces:,} crashes within one")
    return expect("the order of rows matters only in graphs that are refused", fine and by_rows > 0 and by_names > 0)


def expect(what, holds):
    print(f"{'holds' if holds else 'FAILS'}: {what}", flush=True)
    return holds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=2, help="statements of a history")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=30, help="longer histories at random, for each schema")
    parser.add_argument("--random-length", type=int, default=4)
    parser.add_argument("--graphs", type=int, default=400)
    parser.add_argument("--only", help="one part")
    a = parser.parse_args()
    parts = {"newer": lambda: newer(3), "exact": lambda: exactness(a.length), "mutants": lambda: mutants(a.length),
             "random": lambda: randomly(a.random, a.random_length, a.seed), "one-level": lambda: one_level(2 if a.length < 3 else 3),
             "windows": lambda: windows(a.length), "logged": lambda: logged(a.length),
             "orders": lambda: orders(a.graphs, a.seed)}
    fine = True
    for name, part in parts.items():
        if a.only in (None, name):
            began = time.monotonic()
            print(f"{name}:")
            fine &= part()
            print(f"  {time.monotonic() - began:.1f} s")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
