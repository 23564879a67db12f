"""Objects and classes inside compiled functions: which method answers, and what is asked first."""

import abc
import collections
import dataclasses
import enum
import functools

import torch
from language_checks import same

X = torch.arange(3.0)


def outcomes(actions):
    log = []
    for action in actions:
        try:
            log.append(action())
        except Exception as error:
            log.append((type(error).__name__, str(error)))
    return log


def test_text_of_objects():
    def program(x):
        class Named:
            def __init__(self, name):
                self.name = name

            def __repr__(self):
                return f"<{self.name} é>"

        class Shown(Named):
            def __str__(self):
                return self.name

        class Formatted(Shown):
            def __format__(self, spec):
                return f"{spec}:{self.name}"

        class Wrong:
            def __repr__(self):
                return 3

            def __format__(self, spec):
                return 4

        n, s, f, w = Named("n"), Shown("s"), Formatted("f"), Wrong()
        return (
            x,
            [
                str(n),
                repr(n),
                f"{n}",
                f"{s}",
                f"{s!r:>8}",
                f"{f}",
                f"{f:a}",
                f"{f!s:>4}",
                ascii(n),
                "%s %r" % (s, 1),
            ],
            [
                str([n, s]),
                repr({"k": (f,)}),
                f"{[s]}",
                "{} {!r}".format(s, s),
                "{0.name}".format(s),
                str((n,)),
                repr([]),
            ],
            outcomes(
                [
                    lambda: f"{s:>5}",
                    lambda: str(w),
                    lambda: repr(w),
                    lambda: f"{w}",
                    lambda: format(n, "x"),
                ]
            ),
        )

    same(program, X)


def test_binary_operators_ask_in_order():
    def program(x):
        log = []

        def noted(name, answer):
            def method(self, other):
                log.append(f"{type(self).__name__}.{name}")
                return answer

            return method

        class A:
            __add__ = noted("__add__", NotImplemented)
            __radd__ = noted("__radd__", "A radd")
            __eq__ = noted("__eq__", NotImplemented)
            __lt__ = noted("__lt__", NotImplemented)
            __gt__ = noted("__gt__", "A gt")
            __hash__ = None

        class B(A):
            __radd__ = noted("__radd__", "B radd")
            __eq__ = noted("__eq__", "B eq")

        class C:
            __radd__ = noted("__radd__", NotImplemented)
            __iadd__ = noted("__iadd__", NotImplemented)

        a, b, c = A(), B(), C()
        results = outcomes(
            [
                lambda: a + b,
                lambda: b + a,
                lambda: a + a,
                lambda: a + c,
                lambda: c + a,
                lambda: 1 + a,
                lambda: a == b,
                lambda: b == a,
                lambda: a == a,
                lambda: a != c,
                lambda: a < b,
                lambda: a < 3,
                lambda: a <= b,
            ]
        )
        try:
            c += a
        except TypeError as error:
            results.append(str(error))
        return x, results, log

    same(program, X)


def test_attribute_lookup_order():
    def program(x):
        class Data:
            def __get__(self, holder, owner):
                return "data"

            def __set__(self, holder, value):
                holder.__dict__["stored"] = value

        class NonData:
            def __get__(self, holder, owner):
                return "class" if holder is None else "non-data"

        class Holder:
            data = Data()
            non_data = NonData()
            plain = "plain"

            def __getattr__(self, name):
                return f"missing {name}"

        h = Holder()
        log = [h.data, h.non_data, h.plain, h.other, Holder.non_data]
        h.data = 1
        h.non_data = 2
        h.plain = 3
        h.__dict__["data"] = "hidden"
        log += [h.data, h.non_data, h.plain, h.stored, sorted(vars(h))]
        del h.plain
        log.append(h.plain)
        return (
            x,
            log,
            outcomes(
                [lambda: delattr(h, "plain"), lambda: Holder.nothing, lambda: delattr(h, "data")]
            ),
        )

    same(program, X)


def test_special_methods_are_looked_up_on_the_class():
    def program(x):
        class Holder:
            def __len__(self):
                return 1

        h = Holder()
        h.__len__ = lambda: 100
        h.__call__ = lambda: "instance"
        h.__iter__ = lambda: iter("abc")
        return (
            x,
            len(h),
            h.__len__(),
            outcomes([lambda: h(), lambda: iter(h), lambda: h[0], lambda: bool(h)]),
        )

    same(program, X)


def test_truth_and_length():
    def program(x):
        def make(**methods):
            return type(
                "Made",
                (),
                {name: (lambda self, value=value: value) for name, value in methods.items()},
            )()

        return x, outcomes(
            [
                lambda: bool(make()),
                lambda: bool(make(__bool__=False)),
                lambda: bool(make(__len__=0)),
                lambda: bool(make(__len__=3)),
                lambda: bool(make(__bool__=True, __len__=0)),
                lambda: bool(make(__bool__=1)),
                lambda: len(make(__len__=-1)),
                lambda: len(make(__len__="a")),
                lambda: len(make()),
                lambda: not make(__len__=0),
                lambda: "yes" if make(__len__=0) else "no",
                lambda: make(__len__=0) or "other",
            ]
        )

    same(program, X)


def test_construction_in_every_form():
    def program(x):
        log = []

        class Base:
            def __new__(cls, *args, **kwargs):
                log.append(("new", cls.__name__, args))
                return super().__new__(cls)

            def __init__(self, value=0):
                log.append("init")
                self.value = value

        class Other(Base):
            def __new__(cls, value):
                return value if isinstance(value, int) else super().__new__(cls, value)

        class Number(int):
            def __new__(cls, value):
                made = super().__new__(cls, value * 2)
                made.original = value
                return made

        class Pair(tuple):
            def __new__(cls, a, b):
                return super().__new__(cls, (a, b))

            @property
            def first(self):
                return self[0]

        class Text(str):
            def shout(self):
                return self.upper() + "!"

        n = Number(4)
        pair = Pair(x, 2)
        return (
            Base(1).value,
            Other(5),
            Other("a").value,
            n + 1,
            n.original,
            pair.first,
            len(pair),
            Text("ab").shout(),
            Text("ab") + "c",
            outcomes([lambda: object(1), lambda: Base(1, 2), lambda: Pair(1), lambda: Other()]),
            log,
        )

    same(program, X)


def test_abstract_classes_and_protocols():
    def program(x):
        class Shape(abc.ABC):
            @property
            @abc.abstractmethod
            def area(self): ...

            def described(self):
                return f"{type(self).__name__} {self.area}"

        class Square(Shape):
            def __init__(self, side):
                self.side = side

            @property
            def area(self):
                return self.side**2

        return (
            Square(x).area,
            Square(3).described(),
            isinstance(Square(1), Shape),
            issubclass(Square, Shape),
            isinstance({}, collections.abc.MutableMapping),
            outcomes([lambda: Shape()])[0][0],
        )

    same(program, X)


def test_dataclasses_in_full():
    def program(x):
        @dataclasses.dataclass(order=True)
        class Version:
            major: int
            minor: int = 0
            tags: list = dataclasses.field(default_factory=list, compare=False, repr=False)
            total: int = dataclasses.field(init=False)

            def __post_init__(self):
                self.total = self.major + self.minor

        @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
        class Point:
            a: object
            b: int = 2

            def moved(self, by):
                return dataclasses.replace(self, b=self.b + by)

        one, two = Version(1, 2), Version(1, 3)
        one.tags.append(x)
        p = Point(a=x).moved(5)
        return (
            one < two,
            sorted([two, one])[0].minor,
            one == Version(1, 2),
            repr(one),
            one.tags,
            Version(3).tags,
            one.total,
            (p.a, p.b),
            dataclasses.asdict(Version(1)),
            [f.name for f in dataclasses.fields(p)],
            outcomes(
                [lambda: setattr(p, "b", 1), lambda: Point(1), lambda: Version(), lambda: one < 3]
            ),
        )

    same(program, X)


def test_enums_made_of_classes():
    class Planet(enum.Enum):
        EARTH = (1.0, 2)
        MARS = (0.5, 3)

        def __init__(self, mass, radius):
            self.mass = mass
            self.radius = radius

        @property
        def density(self):
            return self.mass / self.radius

        @staticmethod
        def count():
            return len(Planet)

    class Permission(enum.IntFlag):
        R = 4
        W = 2
        X = 1

    def program(x, planet, permission):
        table = {Planet.EARTH: "home"}
        return (
            x * planet.mass,
            planet.density,
            Planet.count(),
            table.get(planet),
            Planet((0.5, 3)) is Planet.MARS,
            [p.name for p in Planet],
            permission | Permission.W,
            Permission.R in permission,
            int(permission),
            permission == 5,
            planet.name,
            planet is Planet.EARTH,
        )

    same(program, X, Planet.EARTH, Permission.R | Permission.X)
    same(program, X, Planet.MARS, Permission.X)


def test_class_creation_hooks():
    def program(x):
        log = []

        class Meta(type):
            @classmethod
            def __prepare__(mcs, name, bases, **kwargs):
                log.append(("prepare", name, sorted(kwargs)))
                return {"prepared": 1}

            def __new__(mcs, name, bases, space, **kwargs):
                log.append(("new", name))
                space["added"] = len(space)
                return super().__new__(mcs, name, bases, space)

            def __init__(cls, name, bases, space, **kwargs):
                log.append(("init", name))
                super().__init__(name, bases, space)

        class Made(metaclass=Meta, flag=True):
            value = x

        class Sub(Made):
            pass

        made = type("Dynamic", (Made,), {"extra": 3})
        return (
            log,
            Made.prepared,
            Sub.value,
            made.extra,
            type(Sub).__name__,
            isinstance(Sub(), Made),
        )

    same(program, X)


def test_containers_written_in_python():
    def program(x):
        class Bag(collections.abc.MutableMapping):
            def __init__(self):
                self.data = {}

            def __getitem__(self, key):
                return self.data[key]

            def __setitem__(self, key, value):
                self.data[key] = value

            def __delitem__(self, key):
                del self.data[key]

            def __iter__(self):
                return iter(self.data)

            def __len__(self):
                return len(self.data)

        class Row(collections.abc.Sequence):
            def __init__(self, *items):
                self.items = items

            def __getitem__(self, index):
                return self.items[index]

            def __len__(self):
                return len(self.items)

        bag = Bag()
        bag["a"] = x
        bag.update({"b": 2}, c=3)
        bag.setdefault("d", 4)
        row = Row(1, 2, 3, 2)
        return (
            dict(bag),
            bag.pop("b"),
            "b" in bag,
            list(bag.items())[1:],
            bag.get("zz", 0),
            len(bag),
            {**bag}["c"],
            list(reversed(row)),
            row.index(2),
            row.count(2),
            3 in row,
            list(row),
            outcomes([lambda: bag["zz"], lambda: row.index(9), lambda: row[9]]),
        )

    same(program, X)


def test_callables_of_every_kind():
    def program(x):
        class Call:
            def __call__(self, *args, **kwargs):
                return args, kwargs

            @classmethod
            def of_class(cls, value):
                return cls.__name__, value

            @staticmethod
            def static(value):
                return value

            def method(self, value):
                return value + 1

        c = Call()
        bound = c.method
        return (
            c(1, k=x),
            Call.of_class(2),
            c.of_class(3),
            c.static(4),
            bound(5),
            Call.method(c, 6),
            functools.partial(c, 1)(2, z=3),
            list(map(c.method, [1, 2])),
            (lambda f: f(7))(bound),
            bound.__self__ is c,
            bound.__func__ is Call.method,
            bound == c.method,
            max([3, 1], key=c.static),
            str.upper("a"),
            list.append.__name__,
            [].append.__name__,
            callable(c),
            callable(x),
        )

    same(program, X)


def test_state_of_an_argument_is_written_back():
    class Model:
        def __init__(self):
            self.log = []
            self.settings = {"a": {"b": 1}}
            self.children = [Leaf(1), Leaf(2)]
            self.by_name = {leaf.n: leaf for leaf in self.children}
            self.count = 0

    class Leaf:
        __slots__ = ("n", "seen")

        def __init__(self, n):
            self.n = n

    def program(x, model):
        model.count += 1
        model.log.append(x)
        model.settings["a"]["b"] += model.count
        model.settings["a"]["c"] = model.log
        for child in model.children:
            child.seen = getattr(child, "seen", 0) + child.n
        model.by_name[1].n = 10
        model.children.reverse()
        model.children.append(model.children[0])
        model.fresh = Leaf(5)
        model.fresh.seen = model
        del model.settings["a"]["b"]
        return model.children[-1].seen, model.by_name[2] is model.children[0]

    same(program, X, Model())
