"""A small world of tables with foreign-key actions: what a source does, and what its log shows.

`Source` carries actions out as InnoDB does (measured, ../cascades.md): depth first, a parent's
constraints in the order of their names, the parent's row first. A statement that the source refuses
raises `Refused`: it is in no log. A row is a tuple, a database a dict of (table, key) to row.
"""
from typing import NamedTuple

CASCADE, NULL, RESTRICT = "C", "N", "R"


class Refused(Exception):
    """The source refuses the statement and rolls it back."""


class Edge(NamedTuple):
    """A foreign key: columns are places in the rows."""
    name: str
    child: str
    columns: tuple
    parent: str
    parent_columns: tuple
    on_delete: str = CASCADE
    on_update: str = RESTRICT


class Event(NamedTuple):
    """What the log shows of one change. `old` is None for an insert, `new` for a delete. `checked` is
    False where the session had switched foreign key checks off (the rows event's flag 0x2)."""
    table: str
    old: tuple
    new: tuple
    checked: bool = True


class Table(NamedTuple):
    """`key`: places of the primary key. `values`: what each column may hold; None among them makes
    it nullable. A column of a foreign key may also hold what its parents hold."""
    key: tuple
    values: tuple
    most: int = 9


class World:
    """Tables, edges and the states in which histories begin."""

    def __init__(self, name, tables, edges, starts, unselected=(), unchecked=False):
        self.name, self.tables, self.edges, self.starts = name, tables, edges, starts
        self.unselected, self.unchecked = set(unselected), unchecked
        self.below = {t: sorted((e for e in edges if e.parent == t), key=lambda e: e.name) for t in tables}
        self.above = {t: [e for e in edges if e.child == t] for t in tables}

    def key(self, table, row):
        return tuple(row[i] for i in self.tables[table].key)

    def selected(self, db):
        return {k: r for k, r in db.items() if k[0] not in self.unselected}

    def order(self):
        """Units of tables, parents before children. Tables in a cycle are one unit."""
        reach = {t: self._down(t) for t in self.tables}
        units, done = [], set()
        while len(done) < len(self.tables):
            for t in self.tables:
                unit = {t} | {u for u in reach[t] if t in reach[u]}
                ancestors = {u for u in self.tables if any(v in reach[u] for v in unit)} - unit
                if t not in done and ancestors <= done:
                    units.append(frozenset(unit))
                    done |= unit
        return units

    def _down(self, table):
        seen, todo = set(), [table]
        while todo:
            for e in self.below[todo.pop()]:
                if e.child not in seen:
                    seen.add(e.child)
                    todo.append(e.child)
        return seen

    def start(self, rows):
        return {(t, self.key(t, r)): r for t, r in rows}


def at(row, places):
    return tuple(row[i] for i in places)


def put(row, places, values):
    row = list(row)
    for i, v in zip(places, values):
        row[i] = v
    return tuple(row)


class Source:
    """The source. `by_row` orders the children that one constraint of one parent matches."""

    def __init__(self, world, by_row=sorted):
        self.world, self.by_row = world, by_row

    def run(self, db, event):
        """The state after a statement that changes one row."""
        db, (table, old, new, checked) = dict(db), event
        if old is not None:
            del db[table, self.world.key(table, old)]
        if new is not None:
            self.write(db, table, old, new, checked)
        if checked and old is not None:
            self.follow(db, table, old, new, frozenset())
        return db

    def write(self, db, table, old, new, checked, through=None):
        place = table, self.world.key(table, new)
        if place in db or None in place[1] or not self.fits(table, new):
            raise Refused
        db[place] = new
        for e in self.world.above[table]:
            value = at(new, e.columns)
            same = old is not None and at(old, e.columns) == value
            if checked and e is not through and None not in value and not same:
                if not any(t == e.parent and at(r, e.parent_columns) == value for (t, _), r in db.items()):
                    raise Refused

    def fits(self, table, row):
        return all(v is not None or None in vs for v, vs in zip(row, self.world.tables[table].values))

    def follow(self, db, table, old, new, updated):
        """What follows from the row having changed. `updated`: tables that an update of this cascade has
        reached; one of them once more is refused."""
        if new is not None:
            updated = updated | {table}
        for e in self.world.below[table]:
            value = at(old, e.parent_columns)
            if None in value or (new is not None and at(new, e.parent_columns) == value):
                continue
            action = e.on_delete if new is None else e.on_update
            rows = [r for (t, _), r in db.items() if t == e.child and at(r, e.columns) == value]
            if rows and action == RESTRICT:
                raise Refused
            for row in self.by_row(rows, key=lambda r: self.world.key(e.child, r)):
                place = e.child, self.world.key(e.child, row)
                row = db.get(place)
                if row is None or at(row, e.columns) != value:
                    continue
                del db[place]
                if action == CASCADE and new is None:
                    self.follow(db, e.child, row, None, updated)
                    continue
                if e.child in updated:
                    raise Refused
                values = at(new, e.parent_columns) if action == CASCADE else (None,) * len(e.columns)
                changed = put(row, e.columns, values)
                self.write(db, e.child, row, changed, True, e)
                self.follow(db, e.child, row, changed, updated)


def statements(world, db):
    """Every change of one row that can be written down in this state."""
    import itertools
    for table, shape in world.tables.items():
        rows = [r for (t, _), r in db.items() if t == table]
        candidates = [c for c in itertools.product(*shape.values) if None not in at(c, shape.key)]
        for old in rows:
            yield Event(table, old, None)
            if world.unchecked:
                yield Event(table, old, None, False)
        for new in candidates:
            if (table, world.key(table, new)) not in db and len(rows) < shape.most:
                yield Event(table, None, new)
                if world.unchecked and world.above[table]:
                    yield Event(table, None, new, False)
            for old in rows:
                if new != old:
                    yield Event(table, old, new)


def histories(world, length, by_row=sorted):
    """Every (log, states) of so many statements that the source takes."""
    source = Source(world, by_row)

    def grow(db, log, states):
        if len(log) == length:
            yield log, states
            return
        for event in statements(world, db):
            try:
                after = source.run(db, event)
            except Refused:
                continue
            yield from grow(after, log + [event], states + [after])
    for rows in world.starts:
        db = world.start(rows)
        yield from grow(db, [], [db])


def random_history(world, length, rng):
    """One history of so many statements."""
    source, db = Source(world), world.start(rng.choice(world.starts))
    log, states = [], [db]
    while len(log) < length:
        event = rng.choice(list(statements(world, db)))
        try:
            db = source.run(db, event)
        except Refused:
            continue
        log.append(event)
        states.append(db)
    return log, states


def worlds():
    """The schemas that the model tries."""
    n = None
    chain = [Edge("a", "K", (1,), "P", (0,), CASCADE, CASCADE), Edge("b", "G", (1,), "K", (0,), CASCADE, CASCADE)]
    plain = {"P": Table((0,), ((1, 2),)), "K": Table((0,), ((1, 2), (1, 2)), 2), "G": Table((0,), ((1,), (1, 2)))}
    full = [("P", (1,)), ("K", (1, 1)), ("G", (1, 1))]
    yield World("chain", plain, chain, [[("P", (1,)), ("P", (2,)), ("K", (1, 1)), ("G", (1, 1))], full])
    holding = {"P": Table((0,), ((1, 2),)), "K": Table((0, 1), ((1, 2), (1, 2)), 2),
               "G": Table((0, 1, 2), ((1, 2), (1, 2), (1,)), 2)}
    yield World("keys that hold parent keys", holding,
                [Edge("a", "K", (0,), "P", (0,), CASCADE, CASCADE),
                 Edge("b", "G", (0, 1), "K", (0, 1), CASCADE, CASCADE)],
                [[("P", (1,)), ("K", (1, 1)), ("K", (1, 2)), ("G", (1, 1, 1)), ("G", (1, 2, 1))]])
    nulls = {"P": Table((0,), ((1, 2),)), "K": Table((0,), ((1, 2), (n, 1, 2)), 1), "G": Table((0,), ((1,), (n, 1, 2)))}
    yield World("set null", nulls,
                [Edge("a", "K", (1,), "P", (0,), NULL, CASCADE), Edge("b", "G", (1,), "K", (0,), CASCADE, NULL)],
                [full])
    # X.a and X.(a, b) share a column; one edge sets it to NULL, the other one deletes.
    meet = {"P": Table((0,), ((1, 2),)), "K": Table((0, 1), ((1, 2), (1,)), 1), "X": Table((0,), ((1,), (n, 1, 2), (1,)))}
    for name, null, cascade in (("null first", "a", "b"), ("cascade first", "b", "a")):
        yield World(f"paths that meet, {name}", meet,
                    [Edge(null, "X", (1,), "P", (0,), NULL, RESTRICT),
                     Edge(cascade, "K", (0,), "P", (0,), CASCADE, RESTRICT),
                     Edge("c", "X", (1, 2), "K", (0, 1), CASCADE, RESTRICT)],
                    [[("P", (1,)), ("K", (1, 1)), ("X", (1, 1, 1))]])
    # X.c is NULL by P and is referenced by Y: the order of a and b decides whether Y's row goes.
    below = {"P": Table((0,), ((1,),)), "M": Table((0,), ((1,), (1,))), "X": Table((0,), ((1,), (n, 1), (n, 1))),
             "Y": Table((0,), ((1,), (n, 1)))}
    for name, null, cascade in (("null first", "a", "b"), ("cascade first", "b", "a")):
        yield World(f"null above a child, {name}", below,
                    [Edge(null, "X", (1,), "P", (0,), NULL), Edge(cascade, "M", (1,), "P", (0,), CASCADE),
                     Edge("c", "X", (2,), "M", (0,), CASCADE), Edge("d", "Y", (1,), "X", (1,), CASCADE, CASCADE)],
                    [[("P", (1,)), ("M", (1, 1)), ("X", (1, 1, 1)), ("Y", (1, 1))]])
    selfs = {"S": Table((0,), ((1, 2, 3), (n, 1, 2, 3)), 3)}
    tree = [("S", (1, n)), ("S", (2, 1)), ("S", (3, 2))]
    yield World("self reference", selfs, [Edge("a", "S", (1,), "S", (0,), CASCADE, RESTRICT)], [tree])
    yield World("self reference to null", selfs, [Edge("a", "S", (1,), "S", (0,), NULL, RESTRICT)], [tree])
    cycle = {"A": Table((0,), ((1, 2), (n, 1)), 2), "B": Table((0,), ((1,), (n, 1, 2)))}
    yield World("cycle", cycle, [Edge("a", "B", (1,), "A", (0,), CASCADE, CASCADE),
                                 Edge("b", "A", (1,), "B", (0,), CASCADE, NULL)],
                [[("A", (1, n)), ("B", (1, 1)), ("A", (2, 1))]])
    yield World("a parent that is not selected", plain, chain, [full], unselected={"P"})
    yield World("checks switched off", nulls,
                [Edge("a", "K", (1,), "P", (0,), CASCADE, CASCADE), Edge("b", "G", (1,), "K", (0,), NULL, RESTRICT)],
                [full], unchecked=True)


def levels():
    """Worlds of one level with ON DELETE actions only, and worlds that are nearly that: (world, whether
    plain replay is exact)."""
    n = None
    two = {"P": Table((0,), ((1, 2),)), "K": Table((0,), ((1, 2), (1, 2)), 2)}
    rows = [("P", (1,)), ("K", (1, 1))]
    yield World("one level, cascade", two, [Edge("a", "K", (1,), "P", (0,))], [rows]), True
    null = {"P": Table((0,), ((1, 2),)), "K": Table((0,), ((1, 2), (n, 1, 2)), 2)}
    yield World("one level, set null", null, [Edge("a", "K", (1,), "P", (0,), NULL)], [rows]), True
    yield World("one level, checks switched off", two, [Edge("a", "K", (1,), "P", (0,))], [rows], unchecked=True), True
    both = {"P": Table((0,), ((1, 2),)), "Q": Table((0,), ((1,),)), "K": Table((0,), ((1,), (1, 2), (n, 1)))}
    meet = [Edge("a", "K", (1,), "P", (0,)), Edge("b", "K", (2,), "Q", (0,), NULL)]
    yield World("one level, two parents", both, meet, [[("P", (1,)), ("Q", (1,)), ("K", (1, 1, 1))]]), True
    twice = {"P": Table((0,), ((1, 2),)), "K": Table((0,), ((1,), (n, 1, 2), (1, 2)))}
    yield World("one level, two edges to one parent", twice,
                [Edge("a", "K", (1,), "P", (0,), NULL), Edge("b", "K", (2,), "P", (0,))],
                [[("P", (1,)), ("P", (2,)), ("K", (1, 1, 2))]]), True
    yield World("two levels", {**two, "G": Table((0,), ((1,), (1, 2)))},
                [Edge("a", "K", (1,), "P", (0,)), Edge("b", "G", (1,), "K", (0,))],
                [rows + [("G", (1, 1))]]), False
    three = {"P": Table((0,), ((1, 2, 3),)), "K": Table((0,), ((1,), (1, 2, 3)))}
    yield World("one level, on update", three, [Edge("a", "K", (1,), "P", (0,), RESTRICT, CASCADE)],
                [rows + [("P", (2,))]]), False
    yield World("self reference", {"S": Table((0,), ((1, 2, 3), (n, 1, 2)), 3)}, [Edge("a", "S", (1,), "S", (0,))],
                [[("S", (1, n)), ("S", (2, 1)), ("S", (3, 2))]]), False
