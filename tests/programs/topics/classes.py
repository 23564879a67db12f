"""User classes: construction, properties, descriptors, operators, inheritance, metaclasses, slots, enums."""

import abc
import enum
import functools

import torch
from program_cases import Fresh, Topic, after, again, call, fresh_call, t

TOPIC = Topic("classes")


class Affine:
    """Scales and shifts."""

    kind = "affine"

    def __init__(self, scale, shift=0):
        self.scale = scale
        self.shift = shift

    def __call__(self, x):
        return x * self.scale + self.shift

    @property
    def inverse(self):
        return Affine(1 / self.scale, -self.shift / self.scale)

    @staticmethod
    def double(x):
        return x * 2

    @classmethod
    def identity(cls):
        return cls(1)

    def __repr__(self):
        return f"Affine({self.scale}, {self.shift})"


class Louder(Affine):
    """Overrides and calls up."""

    kind = "louder"

    def __init__(self, scale):
        super().__init__(scale, shift=1)
        self.extra = scale + 1

    def __call__(self, x):
        return super().__call__(x) * self.extra


@TOPIC.program(
    fresh_call(t(3), Fresh(lambda: Affine(2))),
    again(t(3), Fresh(lambda: Affine(2))),
    fresh_call(t(3), Fresh(lambda: Affine(3))),
)
def object_as_an_argument(x, f):
    return f(x)


@TOPIC.program(call(t(3), Fresh(lambda: Affine(2))), call(t(3), Fresh(lambda: Louder(2))))
def guards_the_class(x, f):
    return f(x), f.kind


@TOPIC.program(call(t(3)))
def constructs_and_calls(x):
    return Affine(2, 1)(x) + Louder(3)(x) + Affine.double(x) + Louder.identity()(x)


@TOPIC.program(call(t(3)))
def returns_an_object(x):
    made = Louder(2)
    made.tensor = x + 1
    return made


@TOPIC.program(call(t(3)))
def property_and_classmethod(x):
    return Affine(2.0, 4.0).inverse(x), Affine.identity().scale, Affine.kind


@TOPIC.program(call(t(3), Fresh(lambda: Affine(2))))
def stores_attributes_on_an_argument(x, f):
    f.last = x * 2
    f.scale += 1
    del f.shift
    return f.last + f.scale


@TOPIC.program(call(t(3), Fresh(lambda: Affine(2))))
def missing_attribute(x, f):
    return x * f.nothing


@TOPIC.program(call(t(3), Fresh(lambda: Affine(2))))
def getattr_hasattr_setattr(x, f):
    if hasattr(f, "scale") and not hasattr(f, "nothing"):
        setattr(f, "added", getattr(f, "scale") + getattr(f, "nothing", 5))
    delattr(f, "shift")
    return x * f.added, "shift" in vars(f), sorted(f.__dict__)


class Vector:
    """Overloads operators."""

    def __init__(self, data):
        self.data = data

    def __add__(self, other):
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(self.data + other.data)

    def __radd__(self, other):
        return Vector(other + self.data)

    def __mul__(self, k):
        return Vector(self.data * k)

    __rmul__ = __mul__

    def __iadd__(self, other):
        self.data = self.data + other.data
        return self

    def __neg__(self):
        return Vector(-self.data)

    def __getitem__(self, index):
        return self.data[index]

    def __setitem__(self, index, value):
        self.data = self.data.clone()
        self.data[index] = value

    def __len__(self):
        return len(self.data)

    def __contains__(self, n):
        return n < len(self)

    def __iter__(self):
        return iter([self.data, self.data + 1])

    def __eq__(self, other):
        return isinstance(other, Vector) and self.data.shape == other.data.shape

    def __hash__(self):
        return 1

    def __lt__(self, other):
        return len(self) < len(other)

    def __bool__(self):
        return len(self) > 2

    def __matmul__(self, other):
        return self.data @ other.data

    def __call__(self, k=1):
        return self.data.sum() * k


@TOPIC.program(call(t(3), t(3)))
def operators_of_a_class(x, y):
    a, b = Vector(x), Vector(y)
    c = a + b * 2
    d = 3 * a + -b
    e = 1 + a
    c += d
    return c.data, d.data, e.data, a @ b, a(2), c[1]


@TOPIC.program(call(t(3), t(4)), call(t(2), t(2)))
def protocols_of_a_class(x, y):
    a, b = Vector(x), Vector(y)
    first, second = a
    b[0] = 5.0
    return (
        len(a),
        2 in a,
        first + second,
        a == b,
        a != b,
        a < b,
        bool(a),
        b.data,
        "yes" if a else "no",
    )


@TOPIC.program(call(t(3)))
def unsupported_operand(x):
    return Vector(x) + [1]


class Lazy:
    """Has dynamic attributes."""

    def __init__(self, base):
        self.base = base
        self.log = []

    def __getattr__(self, name):
        if name.startswith("times_"):
            return self.base * int(name[6:])
        raise AttributeError(f"no {name}")

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)
        if name == "watched":
            self.log.append(name)


@TOPIC.program(call(t(3)))
def dynamic_attributes(x):
    o = Lazy(x)
    o.watched = 1
    return o.times_3 + o.times_2, o.log, hasattr(o, "zzz"), getattr(o, "qqq", 7)


class Typed:
    """A data descriptor."""

    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, obj, owner=None):
        return self if obj is None else getattr(obj, self.name, 10)

    def __set__(self, obj, value):
        if value is None:
            raise TypeError("not None")
        setattr(obj, self.name, value * 2)


class WithDescriptor:
    field = Typed()


@TOPIC.program(call(t(3), 4), call(t(3), None))
def descriptors(x, n):
    o = WithDescriptor()
    before = o.field
    o.field = n
    return x * o.field + before


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


@TOPIC.program(call(t(3), Fresh(lambda: Slotted(2, 3))))
def slots(x, s):
    s.a = s.a + s.b
    made = Slotted(x, s.a)
    return made.a * made.b, made


class Base(abc.ABC):
    @abc.abstractmethod
    def act(self, x): ...

    def twice(self, x):
        return self.act(self.act(x))


class Left(Base):
    def act(self, x):
        return x + 1


class Mixin:
    def act(self, x):
        return super().act(x) * 10


class Both(Mixin, Left):
    pass


@TOPIC.program(call(t(3)))
def inheritance_and_mro(x):
    return (
        Left().twice(x),
        Both().twice(x),
        isinstance(Both(), Base),
        issubclass(Left, Mixin),
        Both.__mro__[1].__name__,
    )


class Mode(enum.Enum):
    SUM = "sum"
    MEAN = "mean"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5


@TOPIC.program(call(t(3), Mode.SUM), call(t(3), Mode.MEAN), call(t(3), Mode.SUM))
def enum_argument(x, mode):
    return x.sum() if mode is Mode.SUM else x.mean(), mode.name, mode.value, mode == Mode("mean")


@TOPIC.program(call(t(3), Level.HIGH))
def int_enum(x, level):
    return x * level + Level.LOW, level > Level.LOW, level, list(Mode)[0], Mode["SUM"]


@TOPIC.program(call(t(3)))
def class_defined_inside(x):
    class Local:
        factor = 3

        def apply(self, v):
            return v * self.factor + x

    return Local().apply(x)


class Counted:
    made = 0

    def __new__(cls, *args):
        self = super().__new__(cls)
        self.tag = "new"
        return self

    def __init__(self, value):
        self.value = value


@TOPIC.program(call(t(3)))
def custom_new(x):
    o = Counted(x)
    return o.value * 2, o.tag, type(o).__name__, o.__class__ is Counted


class WithCached:
    def __init__(self, x):
        self.x = x

    @functools.cached_property
    def squared(self):
        return self.x * self.x


@TOPIC.program(call(t(3)))
def cached_property(x):
    o = WithCached(x)
    return o.squared + o.squared, "squared" in o.__dict__


@TOPIC.made(
    fresh_call(t(3)),
    again(t(3)),
    after(lambda s: setattr(s, "factor", 5), fresh_call(t(3))),
    again(t(3)),
)
def reads_a_class_attribute():
    class Config:
        factor = 2

    def program(x):
        return x * Config.factor

    return program, Config


@TOPIC.made(call(t(3)), after(lambda s: setattr(s, "act", lambda self, x: x - 5), call(t(3))))
def guards_a_replaced_method():
    class Actor:
        def act(self, x):
            return x + 5

    actor = Actor()

    def program(x):
        return actor.act(x)

    return program, Actor


@TOPIC.made(call(t(3)), after(lambda s: setattr(s, "act", lambda x: x - 5), call(t(3))), call(t(3)))
def guards_a_shadowed_method():
    class Actor:
        def act(self, x):
            return x + 5

    actor = Actor()

    def program(x):
        return actor.act(x)

    return program, actor


@TOPIC.made(call(t(3)), call(t(3)), call(t(3)))
def bound_method_is_compiled():
    class Meter:
        def __init__(self):
            self.total = torch.zeros(3)
            self.count = 0

        def update(self, x):
            self.total = self.total + x
            self.count += 1
            return self.total / self.count

    meter = Meter()
    return meter.update, meter


@TOPIC.program(call(t(3)))
def bound_and_unbound_methods(x):
    a = Affine(2, 1)
    bound = a.__call__
    return bound(x), Affine.__call__(a, x), bound.__self__ is a, a.double(x)


@TOPIC.program(call(t(3)))
def is_and_equality_of_objects(x):
    a, b = Affine(1), Affine(1)
    return x, a is a, a is b, a == a, a == b, a != b, len({a, b})


class MyList(list):
    def total(self):
        return sum(self)


class MyDict(dict):
    def __missing__(self, key):
        return key * 2


@TOPIC.program(call(t(3)))
def subclasses_of_builtins(x):
    values = MyList([x, x + 1])
    values.append(x + 2)
    d = MyDict(a=1)
    return values.total(), d["zz"], d["a"], len(values), isinstance(d, dict), values


@TOPIC.program(call(t(3)))
def super_with_arguments(x):
    o = Louder(2)
    return super(Louder, o).__call__(x)


@TOPIC.program(call(t(3)))
def wrong_arguments_of_a_constructor(x):
    return Affine(x, 1, 2)


@TOPIC.program(call(t(3)))
def string_forms_of_objects(x):
    return repr(Affine(2, 1)), str(Affine(3)), f"{Affine(4)}", x


@TOPIC.program(call(t(3)))
def attributes_of_a_class_of_its_own_change(x):
    def ten(kind):
        kind.extra = 10
        return kind

    def more(kind):
        kind.extra += 5
        return kind

    @more
    @ten
    class Own:
        gone = 1

    class Below(Own):
        pass

    seen = Below.extra, hasattr(Below, "gone")
    Own.extra *= 2
    del Own.gone
    return x * Own.extra, Below().extra, seen, hasattr(Own, "gone"), hasattr(Below(), "gone")


class Base:
    factor = 2


@TOPIC.program(
    call(t(3)),
    after(lambda _: setattr(Base, "factor", 3), call(t(3))),
    after(lambda _: setattr(Base, "factor", 2), call(t(3))),
)
def bases_of_a_class_of_its_own_change(x):
    class Own(Base):
        pass

    return x * Own.factor, Own().factor


@TOPIC.program(call(t(3)))
def module_of_a_class_made_by_hand(x):
    made = type("Made", (), {"a": 1})
    return x, made.__module__, made.__qualname__, made().a


@TOPIC.program(call(t(3)), is_one_graph=False)
def bases_that_are_no_classes(x):
    class Many(list[int]):
        pass

    return x, Many([1, 2]), Many.__bases__


class Seven(int):
    def __index__(self):
        return 7


@TOPIC.program(call(t(3)))
def index_of_a_subclass_of_int(x):
    i = Seven(5)
    values = list(range(9))
    return x, values[i], values[i:], range(i), hex(i)
