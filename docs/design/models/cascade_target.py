"""What the target does with an event whose cascade the log does not show, and the protocol around it.

`expand` carries the cascade out over the rows that the target has. `Protocol` walks through every
state that an exact component can come to: snapshots, loads, crashes, the catch-up lane, pieces,
joins. Proofs: ../cascades.md.
"""
from cascade_world import CASCADE, NULL, RESTRICT, Event, at, put


def order_of(world, table, mutant):
    edges = world.below[table]
    return list(reversed(edges)) if mutant == "constraints in another order" else edges


class View:
    """Rows of the target under the changes that are not known to be there: `overlay` has a row, or
    None for a row that is gone. `read` answers what the target has now."""

    def __init__(self, read, overlay=None):
        self.read, self.overlay = read, {} if overlay is None else overlay

    def get(self, place):
        return self.overlay[place] if place in self.overlay else self.read().get(place)

    def children(self, edge, value):
        known = {p: r for p, r in self.read().items() if p[0] == edge.child and p not in self.overlay}
        known.update((p, r) for p, r in self.overlay.items() if p[0] == edge.child and r is not None)
        return [r for r in known.values() if at(r, edge.columns) == value]

    def change(self, world, table, old, new):
        if table in world.unselected:
            return
        if old is not None:
            self.overlay[table, world.key(table, old)] = None
        if new is not None:
            self.overlay[table, world.key(table, new)] = new


def expand(world, view, event, tables=None, mutant=None, by_row=sorted):
    """The effects of one event, the children of a row before the row: (table, old row, new row).
    `tables`: those that are loaded; rows of others are not there. `view` is changed."""
    effects = []
    table, old, new, checked = event

    def wanted(name):
        return tables is None or name in tables

    def follow(table, old, new):
        for e in order_of(world, table, mutant):
            value = at(old, e.parent_columns)
            if not wanted(e.child) or None in value or (new is not None and at(new, e.parent_columns) == value):
                continue
            action = e.on_delete if new is None else e.on_update
            if action == RESTRICT:
                continue
            for row in by_row(view.children(e, value), key=lambda r: world.key(e.child, r)):
                row = view.get((e.child, world.key(e.child, row)))
                if row is None or at(row, e.columns) != value:
                    continue
                if action == CASCADE and new is None:
                    changed = None
                else:
                    values = at(new, e.parent_columns) if action == CASCADE else (None,) * len(e.columns)
                    changed = put(row, e.columns, values)
                step(e.child, row, changed)

    def step(table, old, new):
        view.change(world, table, old, new)
        if mutant == "parents first":
            effects.append((table, old, new))
        follow(table, old, new)
        if mutant != "parents first":
            effects.append((table, old, new))

    if not wanted(table) and table not in world.unselected:
        return effects
    if mutant == "events of an unselected parent are dropped" and table in world.unselected:
        return effects
    if old is None:
        view.change(world, table, None, new)
        effects.append((table, None, new))
    elif checked or mutant == "the flag is ignored":
        step(table, old, new)
    else:
        view.change(world, table, old, new)
        effects.append((table, old, new))
    return effects


def commit(world, rows, effects):
    """The rows of the target after a commit."""
    rows = dict(rows)
    for table, old, new in effects:
        if table in world.unselected:
            continue
        if old is not None:
            rows.pop((table, world.key(table, old)), None)
        if new is not None:
            rows[table, world.key(table, new)] = new
    return rows


def folded_first(events):
    """The mutant that folds before it expands: a delete and an insert of one key become an update of
    other columns."""
    merged = []
    for e in events:
        last = merged[-1] if merged else None
        if last and e.old is None and last.new is None and last.table == e.table and last.old[0] == e.new[0]:
            merged[-1] = Event(e.table, last.old, e.new, False)
        else:
            merged.append(e)
    return merged


# Each with the schema that shows it.
MUTANTS = {
    "any instant": "chain", "unfinished tables are kept": "chain", "tables are kept without their ancestors": "chain",
    "kept tables stay where they are": "chain", "kept tables go one further": "chain",
    "a cycle is loaded table by table": "cycle", "the catch-up begins again": "chain",
    "a cut transaction is not counted": "chain", "an expansion in part counts as whole": "chain", "parents first": "chain",
    "constraints in another order": "paths that meet, null first", "the flag is ignored": "checks switched off",
    "folded before it is expanded": "chain",
    "events of an unselected parent are dropped": "a parent that is not selected",
    "joined one transaction late": "chain", "a trial is not counted": "chain",
    "edges that are not carried are no edges": "chain",
}


class Wrong(Exception):
    """The target is not what it has to be."""


class Protocol:
    """All durable states of one component over one history, with a crash between any two.

    `log` is a list of transactions, each a list of events; `states` has the source after each. The
    fence is (transactions, changes of the next one, effects of the next change). A process state is a tuple whose first part
    names the step; all of it but the step and what `pending` holds is durable.
    """

    def __init__(self, world, log, states, mutant=None):
        self.world, self.log, self.mutant = world, log, mutant
        self.states = [frozenset(world.selected(s).items()) for s in states]
        selected = [t for t in world.tables if t not in world.unselected]
        self.units = [u & frozenset(selected) for u in world.order() if u & frozenset(selected)]
        if mutant == "a cycle is loaded table by table":
            self.units = [frozenset({t}) for t in selected]
        self.all = frozenset(selected)
        self.cut = mutant == "edges that are not carried are no edges"

    def run(self):
        """The number of states; raises `Wrong`."""
        start = ("begin", frozenset(), frozenset(), None)
        seen, todo = {start}, [start]
        while todo:
            for state in self.next(todo.pop()):
                if state not in seen:
                    seen.add(state)
                    todo.append(state)
        if not any(s[0] == "main" and s[3] == (len(self.log), 0, 0) for s in seen):
            raise Wrong("the end is never reached")
        return len(seen)

    def next(self, state):
        return getattr(self, state[0])(*state[1:])

    # Opening and load.

    def begin(self, rows, loaded, fence):
        """A process starts, or the last snapshot is lost."""
        if loaded == self.all:
            yield "lane", rows, fence, (), fence
            return
        kept = self.kept(loaded)
        rows = frozenset(r for r in rows if self.stays(r[0][0], kept, loaded))
        fence = fence if kept else None
        yield "begin", rows, kept, fence
        for low in range(fence[0] if fence else 0, len(self.log) + 1):
            for high in range(low, len(self.log) + 1):
                if fence and fence > (low, 0, 0):
                    continue
                if self.mutant == "any instant":
                    for seen in ({low, high}):
                        yield "advance", rows, kept, fence or (high, 0, 0), high, seen
                elif not any(self.log[low:high]):
                    # The log shows no change of the component between the two: sessions that opened
                    # at any place between them see the state at `high`.
                    yield "advance", rows, kept, fence or (high, 0, 0), high, low

    def kept(self, loaded):
        if self.mutant == "tables are kept without their ancestors":
            return loaded
        kept = frozenset()
        for unit in self.units:
            above = {e.parent for t in unit for e in self.world.above[t]} - unit - self.world.unselected
            if self.mutant == "a cycle is loaded table by table":
                above -= {t for u in self.world.order() if u & unit for t in u}
            if unit <= loaded and above <= kept:
                kept |= unit
        return kept

    def stays(self, table, kept, loaded):
        return table in kept or (self.mutant == "unfinished tables are kept" and table not in loaded)

    def advance(self, rows, kept, fence, instant, seen):
        """Kept tables are brought to exactly the new instant."""
        yield "begin", rows, kept, fence if kept else None
        goal = instant
        if self.mutant == "kept tables stay where they are":
            yield "load", rows, kept, (instant, 0, 0), frozenset(), seen
            return
        if self.mutant == "kept tables go one further" and kept:
            goal = min(instant + 1, len(self.log))
        if not kept or fence >= (goal, 0, 0):
            yield "load", rows, kept, (instant, 0, 0), frozenset(), seen
            return
        for after, moved, pending in self.commits(rows, fence, (), kept, goal):
            if not pending:
                yield "advance", after, kept, moved, instant, seen
                yield "begin", after, kept, moved

    def load(self, rows, loaded, fence, part, seen):
        """Rows of a unit that is not loaded come in, one a commit; `part` are those of the open units."""
        yield "begin", rows, loaded, fence
        if loaded == self.all:
            return
        for unit in self.units:
            if unit <= loaded:
                continue
            at_instant = [r for r in self.states[seen] if r[0][0] in unit]
            missing = [r for r in sorted(at_instant, key=str) if r not in part]
            if missing:
                place = missing[0][0]
                after = frozenset(r for r in rows if r[0] != place) | {missing[0]}
                yield "load", after, loaded, fence, part | {missing[0]}, seen
            else:
                yield "load", rows, loaded | unit, fence, part, seen

    # The lane.

    def commits(self, rows, fence, pending, tables, end):
        """Each commit that may come next: (rows, fence, effects that are still to be sent)."""
        number, changes, _ = fence
        rows = dict(rows)
        if pending:
            yield self.sent(rows, fence, pending)
            return
        if number >= end:
            return
        events = self.log[number]
        if not events:
            yield frozenset(rows.items()), (number + 1, 0, 0), ()
            return
        # One effect of one change; one whole change; the rest of the transaction; two transactions.
        effects = self.expanded(rows, [events[changes]], tables)
        if len(effects) > 1:
            yield self.sent(rows, fence, tuple(effects))
        counts = {1, len(events) - changes}
        for count in counts:
            after = commit(self.world, rows, self.expanded(rows, events[changes:changes + count], tables))
            yield frozenset(after.items()), self.behind(fence, count), ()
        if fence[1:] == (0, 0) and number + 2 <= end:
            both = self.log[number] + self.log[number + 1]
            after = commit(self.world, rows, self.expanded(rows, both, tables))
            yield frozenset(after.items()), (number + 2, 0, 0), ()

    def behind(self, fence, count):
        number, changes, _ = fence
        return (number + 1, 0, 0) if changes + count == len(self.log[number]) else (number, changes + count, 0)

    def sent(self, rows, fence, effects):
        """One effect of a change is sent. The fence counts the change with its last effect."""
        after, rest = commit(self.world, rows, effects[:1]), effects[1:]
        moved = self.behind(fence, 1) if not rest else (*fence[:2], fence[2] + 1)
        return frozenset(after.items()), moved, rest

    def expanded(self, rows, events, tables):
        if self.mutant == "folded before it is expanded":
            events = folded_first(events)
        view, effects = View(lambda: rows), []
        for event in events:
            if self.cut:
                event = event._replace(checked=False)
            effects += expand(self.world, view, event, tables, self.mutant)
        return effects

    def lane(self, rows, fence, pending, instant):
        """The catch-up. `instant` is where it began, of which only the mutant makes use."""
        if self.mutant == "the catch-up begins again":
            yield "lane", rows, instant, (), instant
        if self.mutant == "a cut transaction is not counted":
            yield "lane", rows, (fence[0], 0, 0), (), instant
        if self.mutant == "an expansion in part counts as whole" and pending:
            yield "lane", rows, self.behind(fence, 1), (), instant
        if pending:
            yield "lane", rows, fence, (), instant
        elif fence[1:] == (0, 0):
            self.compare(rows, fence[0], "the catch-up lane")
            late = self.mutant == "joined one transaction late" and fence[0] < len(self.log)
            yield "main", rows, fence, (fence[0] + 1, 0, 0) if late else fence
        for after, moved, rest in self.commits(rows, fence, pending, self.all, len(self.log)):
            yield "lane", after, moved, rest, instant

    def main(self, rows, lane, fence):
        """The main stream; `lane` is where the component's own lane stands. The later one counts."""
        if fence[1:] == (0, 0) and lane <= fence:
            self.compare(rows, fence[0], "the main stream")
        here = max(lane, fence)
        if self.mutant == "a trial is not counted":
            here = fence
        # A trial: the component's part is committed on its own lane while the main stream stands.
        if lane <= fence:
            for after, moved, rest in self.commits(rows, fence, (), self.all, min(fence[0] + 1, len(self.log))):
                if not rest and moved > lane:
                    yield "main", after, moved, fence
        if here > fence:
            # The main stream passes what the trial has applied, without rows of the component.
            yield "main", rows, lane, lane
            return
        for after, moved, rest in self.commits(rows, fence, (), self.all, len(self.log)):
            if not rest:
                yield "main", after, lane, moved

    def compare(self, rows, position, who):
        if rows != self.states[position]:
            raise Wrong(f"{who} at {position}: target {sorted(map(str, dict(rows).items()))}, "
                        f"source {sorted(map(str, dict(self.states[position]).items()))}")
