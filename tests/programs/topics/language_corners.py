"""Corners of the language: aliasing, mutation while iterating, attribute protocols, generators, scopes, matching, exceptions."""

import operator
import sys

import torch
from program_cases import Fresh, Topic, call, t

TOPIC = Topic("language_corners")


# aliasing and identity


@TOPIC.program(call(t(3), [1]), call(t(3), [1, 2]))
def one_list_under_two_names(x, items):
    other = items
    other.append(x)
    holder = [items, items]
    holder[0].append(5)
    return holder, len(other), items is holder[1]


def _shared():
    inner = [1]
    return {"a": inner, "b": inner, "c": [inner]}


@TOPIC.program(call(t(3), Fresh(_shared)))
def one_list_in_a_dict_twice(x, table):
    table["a"].append(x)
    table["c"].append(table["b"])
    return table["a"] is table["b"], len(table["c"][0])


def _distinct():
    return {"a": [1], "b": [1], "c": [[1]]}


@TOPIC.program(call(t(3), Fresh(_shared)), call(t(3), Fresh(_distinct)), call(t(3), Fresh(_shared)))
def sharing_that_changes(x, table):
    table["a"].append(x)
    return table["a"] is table["b"], len(table["b"])


@TOPIC.program(call(t(3), 1))
def swaps_and_rotations(x, n):
    a, b, c = [1], [2], [3]
    a, b, c = c, a, b
    items = [a, b, c]
    items[0], items[-1] = items[-1], items[0]
    i = 0
    i, items[i] = 1, "set"
    return items, a, i


@TOPIC.program(call(t(3)))
def chained_assignment_shares(x):
    a = b = []
    a.append(x)
    c, d = e = (b, 2)
    c.append(1)
    return a, b is e[0], d


@TOPIC.program(call(t(3)))
def multiplication_shares(x):
    rows = [[]] * 3
    rows[0].append(x)
    fresh = [[] for _ in range(3)]
    fresh[0].append(1)
    return rows, rows[0] is rows[2], fresh


@TOPIC.program(call(t(3), [1, 2, 3]))
def augmented_assignment_of_containers(x, items):
    alias = items
    items += (4,)
    other = items
    other = other + [5]
    pair = ([],)
    try:
        pair[0] += [1]
    except TypeError as error:
        text = str(error)
    t_ = (1,)
    u = t_
    t_ += (2,)
    s = {1}
    v = s
    s |= {2}
    s -= {1}
    s ^= {7}
    items *= 2
    return alias is items, other, pair, text, t_, u, v is s, v, items


# mutation while iterating


@TOPIC.program(call(t(3), [1, 2, 3, 4]))
def removes_while_iterating(x, items):
    for item in items:
        if item % 2:
            items.remove(item)
    grown = [1]
    for item in grown:
        if len(grown) < 4:
            grown.append(item + 1)
    return x, grown


@TOPIC.program(call(t(3), {"a": 1, "b": 2}))
def dict_changes_while_iterating(x, table):
    log = []
    try:
        for key in table:
            table[key + "!"] = 1
    except RuntimeError as error:
        log.append(str(error))
    own = {1: 1}
    try:
        for key in own:
            del own[key]
    except RuntimeError as error:
        log.append(str(error))
    for key in list(table):
        del table[key]
    return x, log, table


@TOPIC.program(call(t(3), {1, 2}))
def set_changes_while_iterating(x, members):
    try:
        for item in members:
            members.add(item + 10)
    except RuntimeError as error:
        return x, str(error)


@TOPIC.program(call(t(3), [3, 1, 2]))
def iterator_of_an_argument_lives_on(x, items):
    it = iter(items)
    first = next(it)
    items.append(9)
    rest = list(it)
    items.insert(0, 0)
    return first, rest, next(it, "end"), list(reversed(items))


@TOPIC.program(call(t(3), [1, 2, 3]))
def views_of_a_dict_follow_it(x, items):
    d = {"a": 1}
    keys, values, pairs = d.keys(), d.values(), d.items()
    d["b"] = x
    return (
        list(keys),
        len(values),
        ("a", 1) in pairs,
        keys & {"b", "z"},
        keys | {"c"} >= {"a"},
        keys - {"a"},
        list(reversed(keys)),
        keys.mapping["a"],
    )


@TOPIC.program(call(t(3), {"a": 1, "b": 2}))
def views_of_an_argument_follow_it(x, d):
    keys = d.keys()
    before = list(keys)
    d["c"] = x
    del d["a"]
    return before, list(keys), "c" in keys, "a" in keys, len(d.items())


@TOPIC.program(call(t(3), [1, 2, 3, 4, 5]))
def slices_assigned_and_deleted(x, items):
    items[1:3] = "xyz"
    items[::2] = [0] * len(items[::2])
    del items[-1]
    items[len(items) :] = [x]
    del items[:1]
    try:
        items[::2] = [1]
    except ValueError as error:
        return items, str(error)


# attributes


class Odd:
    """Everything about attributes that can be defined."""

    shared = []

    def __init__(self, size):
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "log", [])

    def __getattribute__(self, name):
        if name == "hidden":
            raise AttributeError("hidden from view")
        return super().__getattribute__(name)

    def __getattr__(self, name):
        if name.startswith("made_"):
            return name[5:]
        raise AttributeError(f"no {name}")

    def __setattr__(self, name, value):
        self.log.append(name)
        super().__setattr__(name, value)

    def __delattr__(self, name):
        self.log.append(f"del {name}")
        super().__delattr__(name)


@TOPIC.program(call(t(3)))
def attribute_hooks(x):
    odd = Odd(3)
    odd.new = x
    made = odd.made_up
    del odd.new
    log = list(odd.log)
    caught = []
    for name in ("hidden", "nothing", "new"):
        try:
            getattr(odd, name)
        except AttributeError as error:
            caught.append(str(error))
    return made, log, caught, hasattr(odd, "hidden"), getattr(odd, "zz", 7), odd.size


@TOPIC.program(call(t(3), Fresh(lambda: Odd(2))), call(t(3), Fresh(lambda: Odd(3))))
def attribute_hooks_of_an_argument(x, odd):
    odd.new = x * odd.size
    odd.shared.append(1) if False else None
    made = odd.made_there
    odd.count = getattr(odd, "count", 0) + 1
    return made, odd.log, odd.new


class Positive:
    """A descriptor that knows its name."""

    def __set_name__(self, owner, name):
        self.name = name
        self.owner = owner.__name__

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        return holder.__dict__.get(self.name, 1)

    def __set__(self, holder, value):
        if value < 0:
            raise ValueError(f"{self.owner}.{self.name} is negative")
        holder.__dict__[self.name] = value

    def __delete__(self, holder):
        del holder.__dict__[self.name]


class Lazily:
    """A descriptor without `__set__`: the instance's own attribute comes first."""

    def __init__(self, function):
        self.function = function

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        value = self.function(holder)
        holder.__dict__[self.function.__name__] = value
        return value


class Measured:
    width = Positive()
    height = Positive()

    def __init__(self, width):
        self.width = width

    @Lazily
    def area(self):
        return self.width * self.height


@TOPIC.program(call(t(3), 2), call(t(3), -2))
def descriptors_in_full(x, n):
    m = Measured(3)
    m.height = 4
    log = [m.area, m.area, "area" in m.__dict__, type(Measured.width).__name__, m.width]
    del m.height
    log.append(m.height)
    try:
        m.width = n
    except ValueError as error:
        log.append(str(error))
    return x * m.width, log


@TOPIC.program(call(t(3), Fresh(lambda: Measured(2))), call(t(3), Fresh(lambda: Measured(5))))
def descriptors_of_an_argument(x, m):
    m.height = m.width + 1
    m.width += 1
    return x * m.area, m.area


class Base:
    registry = {}

    def __init_subclass__(cls, /, tag=None, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.tag = tag

    def __class_getitem__(cls, item):
        return (cls.__name__, item)

    def name(self):
        return "base"

    @classmethod
    def build(cls, *args):
        return cls(*args)

    @staticmethod
    def helper(value):
        return value + 1


class Left(Base, tag="left"):
    def name(self):
        return "left " + super().name()

    def names(self):
        return [super(Left, self).name() for _ in range(2)], [
            n for n in (super().name() for _ in range(1))
        ] if False else None


class Right(Base, tag="right"):
    def name(self):
        return "right " + super().name()

    @classmethod
    def build(cls, *args):
        made = super().build(*args)
        made.built = True
        return made


class Both(Left, Right):
    def name(self):
        def inner():
            return super(Both, self).name()

        return "both " + inner() + " " + (lambda: __class__.__name__)()


@TOPIC.program(call(t(3)))
def inheritance_in_full(x):
    both = Both.build()
    return (
        both.name(),
        both.built,
        both.tag,
        Left.tag,
        both.names()[0],
        Both[int],
        both.helper(x),
        Base.helper(1),
        [k.__name__ for k in Both.__mro__],
        Left.name(both),
        super(Left, both).name(),
    )


class Counting(type):
    """A metaclass with everything."""

    made = 0

    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made.number = len(args)
        return made

    def __len__(cls):
        return 42

    def __iter__(cls):
        return iter("ab")

    def __contains__(cls, item):
        return item == "a"

    def __getitem__(cls, key):
        return key * 2

    def __getattr__(cls, name):
        return f"class {name}"

    def __instancecheck__(cls, value):
        return value == 3 or type.__instancecheck__(cls, value)

    @property
    def described(cls):
        return f"<{cls.__name__}>"

    def method(cls):
        return cls.__name__


class Counted(metaclass=Counting):
    def __init__(self, *args):
        self.args = args


@TOPIC.program(call(t(3)))
def metaclasses_in_full(x):
    made = Counted(x, 2)
    return (
        made.number,
        made.args[0] * 2,
        len(Counted),
        list(Counted),
        "a" in Counted,
        Counted[3],
        Counted.anything,
        Counted.described,
        Counted.method(),
        isinstance(3, Counted),
        isinstance(4, Counted),
        isinstance(made, Counted),
        bool(Counted),
    )


class Singleton(type):
    _known = {}

    def __call__(cls, *args):
        if cls not in cls._known:
            cls._known[cls] = super().__call__(*args)
        return cls._known[cls]


class Only(metaclass=Singleton):
    def __init__(self, value=1):
        self.value = value


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def singletons(x):
    return x * Only().value, Only() is Only()


class Immutable:
    __slots__ = ("_a", "b")

    def __init__(self, a):
        object.__setattr__(self, "_a", a)

    def __setattr__(self, name, value):
        raise TypeError(f"cannot set {name}")

    @property
    def a(self):
        return self._a

    def __eq__(self, other):
        return isinstance(other, Immutable) and self._a == other._a

    def __hash__(self):
        return hash(self._a)


@TOPIC.program(call(t(3)))
def slots_in_full(x):
    one = Immutable(1)
    log = [one.a, one == Immutable(1), one != Immutable(2), hash(one) == hash(1)]
    for action in (
        lambda: setattr(one, "b", 1),
        lambda: one.b,
        lambda: object.__setattr__(one, "c", 1),
        lambda: setattr(one, "a", 3),
        lambda: one.__dict__,
    ):
        try:
            log.append(action())
        except (TypeError, AttributeError) as error:
            log.append((type(error).__name__, str(error)))
    return x, log


class Vector:
    def __init__(self, *parts):
        self.parts = parts

    def __iter__(self):
        yield from self.parts

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, key):
        if isinstance(key, slice):
            return Vector(*self.parts[key])
        if isinstance(key, tuple):
            return [self.parts[k] for k in key]
        return self.parts[key]

    def __add__(self, other):
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(*(p + q for p, q in zip(self, other)))

    def __radd__(self, other):
        return Vector(*(other + p for p in self))

    def __iadd__(self, other):
        self.parts = tuple(p + other for p in self)
        return self

    def __mul__(self, other):
        return Vector(*(p * other for p in self))

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1

    def __abs__(self):
        return sum(p * p for p in self)

    def __bool__(self):
        return bool(self.parts)

    def __eq__(self, other):
        return isinstance(other, Vector) and list(self) == list(other)

    __hash__ = None

    def __lt__(self, other):
        return abs(self) < abs(other)

    def __contains__(self, item):
        return item in self.parts

    def __reversed__(self):
        return Vector(*self.parts[::-1])

    def __call__(self, function):
        return Vector(*map(function, self))

    def __matmul__(self, other):
        return sum(p * q for p, q in zip(self, other))

    def __divmod__(self, n):
        return Vector(*(p // n for p in self)), Vector(*(p % n for p in self))

    def __pow__(self, n, modulus=None):
        return Vector(*(pow(p, n, modulus) for p in self))

    def __lshift__(self, n):
        return Vector(*self.parts[n:], *self.parts[:n])

    def __format__(self, spec):
        return f"({'|'.join(format(p, spec) for p in self)})"

    def __repr__(self):
        return f"Vector{self.parts!r}"

    def __missing__(self, key):
        return 0


@TOPIC.program(call(t(3), 2), call(t(3), 3))
def operators_in_full(x, n):
    v, w = Vector(1, 2, n), Vector(4, 5, 6)
    u = v
    u += 1
    tensors = Vector(x, x + 1)
    return (
        (v + w).parts,
        (10 + v).parts,
        (2 * v).parts,
        (-v).parts,
        abs(w),
        bool(Vector()),
        v == Vector(2, 3, n + 1),
        v != w,
        v < w,
        3 in v,
        reversed(w).parts,
        v(lambda p: p * 2).parts,
        v @ w,
        [part.parts for part in divmod(w, 4)],
        (w**2).parts,
        pow(w, 2, 7).parts,
        (w << 1).parts,
        f"{v:03d} {v!r}",
        w[1:].parts,
        w[0, 2],
        v is u,
        (tensors + tensors).parts,
        max(v, w).parts,
        sorted([w, v])[0].parts,
        sum([Vector(1), Vector(2)]).parts,
        tensors @ tensors,
        [*w],
        dict(zip("ab", w)),
        w[-1],
    )


@TOPIC.program(call(t(3)))
def operators_that_fail(x):
    log = []
    v, missing = Vector(1), None
    for action in (
        lambda: v - 1,
        lambda: v + 1,
        lambda: v > 3,
        lambda: hash(v),
        lambda: {v: 1},
        lambda: v[5],
        lambda: len(3),
        lambda: ~v,
        lambda: v.missing,
        lambda: int(v),
        lambda: v(),
        lambda: 1 < "a",
        lambda: [] + (),
        lambda: {} | [],
        lambda: missing[0],
        lambda: missing(),
        lambda: iter(3),
        lambda: next([]),
        lambda: "a" in 3,
        lambda: [1][missing],
    ):
        try:
            log.append(action())
        except Exception as error:
            log.append((type(error).__name__, str(error)))
    return x, log


class Sequenced:
    def __init__(self, items):
        self.items = items

    def __getitem__(self, index):
        return self.items[index]

    def __len__(self):
        return len(self.items)


@TOPIC.program(call(t(3)), call(t(3)))
def old_sequence_protocol(x):
    s = Sequenced([1, 2, x])
    _, *rest = s
    return list(s), 2 in Sequenced([1, 2]), len(rest), list(reversed(Sequenced("ab"))), [*s][0]


class Rich(dict):
    def __missing__(self, key):
        self[key] = value = key * 2
        return value

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def __setattr__(self, name, value):
        self[name] = value


@TOPIC.program(call(t(3)))
def dict_with_attributes(x):
    r = Rich(a=x)
    r.b = 2
    return r.a, r["cc"], r.b, dict(r), "zz" in r, r.get("zz"), len(r), r.dd, sorted(r)


class Loud(list):
    def append(self, item):
        super().append(item)
        super().append(item)

    def __getitem__(self, index):
        return super().__getitem__(index) * 10

    def __iter__(self):
        for item in super().__iter__():
            yield item + 1


@TOPIC.program(call(t(3)))
def list_with_other_methods(x):
    loud = Loud([1])
    loud.append(2)
    loud.extend([3])
    return x, loud[0], list(loud), len(loud), [*loud], sum(loud), loud == [1, 2, 2, 3], 2 in loud


# generators


@TOPIC.program(call(t(3)))
def generators_clean_up(x):
    log = []

    def produce():
        try:
            for k in range(5):
                try:
                    got = yield x * k
                    log.append(got)
                except ValueError as error:
                    log.append(str(error))
                    yield "handled"
        except GeneratorExit:
            log.append("exit")
            raise
        finally:
            log.append("finally")

    g = produce()
    a = next(g)
    b = g.send("sent")
    c = g.throw(ValueError("thrown"))
    d = next(g)
    g.close()
    g.close()
    return a, b, c, d, log, next(g, "done"), g.gi_frame is None


@TOPIC.program(call(t(3)))
def generators_delegate_everything(x):
    log = []

    def inner():
        try:
            while True:
                try:
                    got = yield len(log)
                    if got is None:
                        return "inner done"
                    log.append(got)
                except KeyError:
                    log.append("key error")
        finally:
            log.append("inner finally")

    def outer():
        result = yield from inner()
        log.append(result)
        result = yield from [10, 20]
        yield result
        return x

    g = outer()
    steps = [next(g), g.send("a"), g.throw(KeyError("k")), next(g), next(g), next(g)]
    try:
        next(g)
    except StopIteration as stop:
        return stop.value, steps, log


@TOPIC.program(call(t(3)))
def generators_misused(x):
    log = []

    def produce():
        yield 1
        yield next(me)

    def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    me = produce()
    fresh = produce()
    for action in (
        lambda: fresh.send(3),
        lambda: (next(me), next(me)),
        lambda: next(me),
        lambda: (next(s := stubborn()), s.close()) and None,
    ):
        try:
            log.append(action())
        except (TypeError, ValueError, StopIteration, RuntimeError) as error:
            log.append((type(error).__name__, str(error)))
    return x, log


@TOPIC.program(call(t(3)))
def generator_returns_from_finally_and_with(x):
    log = []

    class Manager:
        def __enter__(self):
            log.append("enter")
            return self

        def __exit__(self, *details):
            log.append(details[0].__name__ if details[0] else None)
            return True

    def produce():
        with Manager():
            yield 1
            raise ValueError
        yield 2
        with Manager():
            yield 3

    g = produce()
    got = [next(g), next(g), next(g)]
    g.close()
    return x, got, log


@TOPIC.program(call(t(3)))
def generator_is_lazy_about_its_first_iterable_only(x):
    log = []

    def noted(name):
        log.append(name)
        return [1, 2]

    g = (p * q for p in noted("outer") for q in noted("inner"))
    log.append("made")
    got = list(g)
    return x, got, log


# scopes


@TOPIC.program(call(t(3)))
def nonlocal_over_three_levels(x):
    a, log = 0, []

    def one():
        nonlocal a
        a += 1
        b = 10

        def two():
            nonlocal a, b
            a += 10
            b += 1

            def three():
                nonlocal a, b
                a += 100
                b += 1
                log.append((a, b))
                return lambda: a + b

            return three

        return two

    last = one()()()
    a += 1000
    return x * a, log, last()


@TOPIC.program(call(t(3)))
def closures_over_loop_variables(x):
    late = [lambda: k for k in range(3)]
    early = [lambda k=k: k for k in range(3)]
    made = []
    for k in range(3):

        def inner(y=k):
            return y + k

        made.append(inner)
    k = 100
    return x, [f() for f in late], [f() for f in early], [f() for f in made]


@TOPIC.program(call(t(3)))
def comprehensions_have_scopes(x):
    k = "outer"
    a = [k for k in range(3)]
    b = [[i * j for j in range(i)] for i in range(4)]
    c = {k: v for k, v in zip("ab", [x, 1])}
    d = [last := n for n in range(3)]
    e = {n % 2 for n in range(5)}
    f = [y for z in ([1], [2, 3]) if len(z) > 1 for y in z if y > 2]
    return k, a, b, c, d, last, e, f


@TOPIC.program(call(t(3)))
def classes_have_scopes(x):
    size = 5

    class Inner:
        size = size if False else 7
        doubled = size * 2
        listed = [n for n in range(size)]

        def method(self):
            return size

        @property
        def own(self):
            return self.size

        class Deeper:
            value = 3

    return x, Inner.doubled, Inner.listed, Inner().method(), Inner().own, Inner.Deeper.value


@TOPIC.program(call(t(3), 0), call(t(3), 1))
def names_deleted_and_unbound(x, n):
    log = []
    value = 1
    del value
    for action in ("local", "free"):
        try:
            if action == "local":
                print(value)
            else:
                (lambda: later)()
        except NameError as error:
            log.append((type(error).__name__, str(error)))
    later = 2
    try:
        raise ValueError("gone")
    except ValueError as error:
        pass
    try:
        error  # noqa: F821
    except UnboundLocalError as other:
        log.append(str(other))
    return x, log


@TOPIC.program(call(t(3)))
def evaluation_order(x):
    log = []

    def note(value):
        log.append(value)
        return value

    def take(*args, **kwargs):
        return args, kwargs

    table = {}
    table[note("key")] = note("value")
    {note(1): note(2), note(3): note(4)}
    take(note(5), *[note(6)], k=note(7), **{"m": note(8)})
    note(9) < note(10) < note(0) < note(11)
    note(0) and note(12)
    note(0) or note(13)
    a = [0, 0]
    a[note(0)], a[note(1)] = note(14), note(15)
    a[note(1)] += note(16)
    (note(17) if note(18) else note(19))
    assert note(20), note(21)
    return x, log, a, table


# matching


def _kind_of(value):
    match value:
        case None:
            kind = "none"
        case True | False as flag:
            kind = ("bool", flag)
        case 0:
            kind = "zero"
        case -1:
            kind = "minus one"
        case int(n) | float(n):
            kind = ("number", n)
        case "":
            kind = "empty"
        case str() as text if len(text) > 3:
            kind = ("long", text)
        case b"x":
            kind = "bytes"
        case []:
            kind = "empty list"
        case [one]:
            kind = ("one", one)
        case [0, str(name), None]:
            kind = name
        case [first, *middle, last]:
            kind = (first, middle, last)
        case {"op": str(op), "args": [p, q]}:
            kind = (op, p, q)
        case {"k": 1, **rest} if not rest:
            kind = "k is 1"
        case {"k": k, **rest}:
            kind = (k, rest)
        case set():
            kind = "set"
        case _:
            kind = "other"
    return kind


@TOPIC.program(*(call(t(3), v) for v in (0, -1, 3.5, "text", b"x", True, "")))
def matches_literals_and_types(x, value):
    return x, _kind_of(value)


@TOPIC.program(
    *(call(t(3), v) for v in ([], [1], [1, 2, 3], (4, 5), [[1, [2]]], [0, "a", None], range(3)))
)
def matches_sequences(x, value):
    return x, _kind_of(value)


@TOPIC.program(
    *(
        call(t(3), v)
        for v in ({"k": 1}, {"k": 2, "z": 3}, {"op": "add", "args": [1, 2]}, {1, 2}, {})
    )
)
def matches_mappings(x, value):
    return x, _kind_of(value)


class Shape:
    __match_args__ = ("width", "height")

    def __init__(self, width, height):
        self.width, self.height = width, height


class Square(Shape):
    def __init__(self, side):
        super().__init__(side, side)


@TOPIC.program(
    call(t(3), 1), call(t(3), 2), call(t(3), 3), call(t(3), 4),
)  # fmt: skip
def matches_objects(x, n):
    shape = {1: Shape(1, 2), 2: Shape(x, 0), 3: Square(3), 4: (Shape(1, 1), Square(2))}[n]
    match shape:
        case Square(width=w, height=h):
            return w * h
        case Shape(1, height):
            return height
        case Shape(torch.Tensor() as w, height=0):
            return w * 2
        case (Shape(a, b), Square(c)) if a == b:
            return a + c
        case Shape():
            return "any"


@TOPIC.program(call(t(3)))
def match_that_fails(x):
    log = []
    for kind in (0, 1):
        try:
            match Shape(1, 2):
                case Shape(1, 2, 3) if kind == 0:
                    pass
                case log.append() if False:
                    pass
        except (TypeError, AttributeError) as error:
            log.append(str(error))
    return x, log


# exceptions


@TOPIC.program(call(t(3)))
def exceptions_chain(x):
    log = []
    try:
        try:
            try:
                {}["k"]
            except KeyError as error:
                raise ValueError("v") from error
        finally:
            log.append("finally")
    except ValueError as error:
        log.append((repr(error.__cause__), repr(error.__context__), error.__suppress_context__))
    try:
        try:
            1 / 0
        except ZeroDivisionError:
            raise RuntimeError("r") from None
    except RuntimeError as error:
        log.append((error.__cause__, repr(error.__context__), error.__suppress_context__))
    try:
        try:
            raise KeyError(1)
        except KeyError:
            [].pop()
    except IndexError as error:
        log.append((str(error), repr(error.__context__)))
    return x, log, sys.exc_info()


@TOPIC.program(call(t(3)))
def exceptions_and_control_flow(x):
    log = []

    def returns():
        for k in range(3):
            try:
                if k == 1:
                    return k
            finally:
                log.append(k)

    def continues():
        for k in range(3):
            try:
                continue
            finally:
                log.append(f"c{k}")

    def breaks():
        while True:
            try:
                raise ValueError
            except ValueError:
                break
            finally:
                log.append("b")
        else:
            log.append("never")

    def overrides():
        try:
            raise ValueError
        finally:
            return "swallowed"

    def loses():
        try:
            return 1
        finally:
            try:
                raise KeyError
            except KeyError:
                log.append("inner")

    return x, returns(), continues(), breaks(), overrides(), loses(), log


class Custom(Exception):
    def __init__(self, code, *, detail=None):
        super().__init__(code)
        self.code = code
        self.detail = detail

    def __str__(self):
        return f"custom {self.code}"


class Sub(Custom, KeyError):
    pass


@TOPIC.program(call(t(3), 1), call(t(3), 2))
def exceptions_of_the_program(x, n):
    try:
        raise Sub(n, detail=[x])
    except KeyError as error:
        saved = error
    try:
        raise saved
    except Custom as again:
        same = again is saved
    return str(saved), saved.args, saved.detail, same, isinstance(saved, LookupError), repr(saved)


@TOPIC.program(call(t(3), 2), call(t(3), 0))
def exception_leaves_the_program(x, n):
    table = {"a": x}
    try:
        value = table["a"] / (1 // n)
    except ZeroDivisionError as error:
        raise Custom(7, detail="d") from error
    return value


@TOPIC.program(call(t(3)))
def handlers_may_fail(x):
    log = []

    def bad_type():
        try:
            raise ValueError("v")
        except "not a class":
            pass

    def bad_raise():
        raise 3

    def bad_cause():
        raise ValueError("v") from 3

    def raising_init():
        raise Custom

    for action in (bad_type, bad_raise, bad_cause, raising_init):
        try:
            action()
        except Exception as error:
            log.append((type(error).__name__, str(error), repr(error.__context__)))
    return x, log


@TOPIC.program(call(t(3)))
def exceptions_from_attribute_hooks(x):
    class Failing:
        def __getattr__(self, name):
            raise ValueError(f"value {name}")

        @property
        def broken(self):
            return self.nothing.at_all

    failing = Failing()
    log = []
    for name in ("a", "broken"):
        try:
            getattr(failing, name, "default")
        except ValueError as error:
            log.append(str(error))

    class Hiding:
        @property
        def broken(self):
            raise AttributeError("inside")

        def __getattr__(self, name):
            return f"fallback {name}"

    return x, log, Hiding().broken, hasattr(Hiding(), "broken")


@TOPIC.program(call(t(3)))
def with_blocks_in_full(x):
    log = []

    class Manager:
        def __init__(self, name, swallow=False):
            self.name = name
            self.swallow = swallow

        def __enter__(self):
            log.append(f"enter {self.name}")
            return self

        def __exit__(self, kind, error, trace):
            log.append((f"exit {self.name}", kind and kind.__name__, str(error)))
            return self.swallow

    with Manager("a") as a, Manager("b", True) as b:
        raise ValueError(a.name + b.name)
    with Manager("c"):
        for k in range(2):
            with Manager(k):
                if k == 0:
                    continue
                break

    def leaves():
        with Manager("d"):
            return "returned"

    return x, leaves(), log


@TOPIC.program(call(t(3)))
def manager_without_methods(x):
    class Half:
        def __enter__(self):
            return 1

    log = []
    for thing in (Half(), 3):
        try:
            with thing:
                pass
        except (TypeError, AttributeError) as error:
            log.append(str(error))
    return x, log


# calls


@TOPIC.program(call(t(3)))
def argument_errors_in_full(x):
    def f(a, b, /, c, *, d, e=5):
        return a, b, c, d, e

    def g(a, *rest, k=1, **more):
        return a, rest, k, more

    log = []
    for action in (
        lambda: f(1, 2, 3, d=4),
        lambda: f(1, 2, c=3, d=4, e=6),
        lambda: f(1, 2, 3),
        lambda: f(1, 2, 3, 4, d=5),
        lambda: f(1, b=2, c=3, d=4),
        lambda: f(1, 2, 3, d=4, z=5),
        lambda: f(),
        lambda: g(),
        lambda: g(1, 2, 3, k=4, z=5),
        lambda: g(1, a=2),
        lambda: g(*[1, 2], **{"k": 3, "y": 4}),
        lambda: g(**{"a": 1}, **{"a": 2}),
        lambda: g(*3),
        lambda: g(**3),
        lambda: g(1, **{1: 2}),
    ):
        try:
            log.append(action())
        except TypeError as error:
            log.append(str(error))
    return x, log


@TOPIC.program(call(t(3)))
def functions_have_attributes(x):
    def f(a, b=2, *, c=3) -> int:
        """Document."""
        return a

    f.extra = [1]
    f.extra.append(2)
    return (
        x,
        f.__name__,
        f.__doc__,
        f.__defaults__,
        f.__kwdefaults__,
        f.extra,
        f.__code__.co_varnames,
        f.__annotations__["return"] is int,
        hasattr(f, "nothing"),
        callable(f),
    )


@TOPIC.program(call(t(3), 3), call(t(3), 5))
def recursion_in_full(x, n):
    def fib(k):
        return k if k < 2 else fib(k - 1) + fib(k - 2)

    fact = lambda k: 1 if k == 0 else k * fact(k - 1)

    def flatten(tree):
        for item in tree:
            if isinstance(item, list):
                yield from flatten(item)
            else:
                yield item

    return x * fib(n), fact(n), list(flatten([1, [2, [3, [x]], 4]]))


def _endless(n):
    return _endless(n + 1)


@TOPIC.program(call(t(3)), is_one_graph=False)
def recursion_without_end(x):
    try:
        _endless(0)
    except RecursionError:
        return x + 1


@TOPIC.program(call(t(3)))
def returns_a_list_with_other_methods(x):
    loud = Loud([1, 2])
    return x, loud, {"again": loud}


@TOPIC.program(call(t(3), Fresh(lambda: Immutable(1))))
def slots_of_an_argument(x, one):
    try:
        object.__setattr__(one, "c", 1)
    except AttributeError as error:
        return x, str(error)


@TOPIC.program(call(t(3), [1, 2, 3], {"a": 1}))
def operator_functions_change_arguments(x, items, table):
    operator.setitem(items, 0, x)
    operator.delitem(items, 1)
    operator.setitem(table, "b", 2)
    operator.iconcat(items, [5])
    return len(items), list(table)
