"""Lists, tuples, dicts, sets, deques: reading, building, mutating, returning."""

import collections
import decimal
import fractions

import torch
from program_cases import Fresh, Topic, after, again, call, fresh_call, t

TOPIC = Topic("containers")


@TOPIC.program(call([t(3), t(3)]), call([t(3), t(3), t(3)]), call([]))
def sums_a_list(xs):
    total = torch.zeros(3)
    for x in xs:
        total = total + x
    return total


@TOPIC.program(call((t(3), (t(2), 4))))
def unpacks_nested_tuples(pair):
    a, (b, n) = pair
    return a * n, b - n


@TOPIC.program(
    call({"a": t(3), "b": t(3)}), call({"b": t(3), "a": t(3)}), call({"a": t(3), "b": t(3), "c": 2})
)
def walks_a_dict(batch):
    out = 0
    for index, (_key, value) in enumerate(batch.items()):
        out = out + value * (index + 1)
    return out


@TOPIC.program(call({"a": t(3)}), call({"a": t(3), "b": t(3)}), call({"b": t(3)}))
def asks_for_keys(batch):
    if "b" in batch:
        return batch["b"] * 2
    return batch.get("a", torch.ones(3)) + batch.get("c", 1)


@TOPIC.program(call({"a": t(2)}))
def missing_key(batch):
    return batch["nothing"]


@TOPIC.program(call([t(2)]))
def index_out_of_range(xs):
    return xs[3]


@TOPIC.program(call(t(3), Fresh(list)), call(t(3), Fresh(lambda: [1])))
def appends_to_an_argument(x, out):
    out.append(x + 1)
    out.append(5)
    out.insert(0, "first")
    return x * len(out)


@TOPIC.program(call(t(3), Fresh(lambda: {"old": 1})))
def changes_a_dict_argument(x, state):
    state["new"] = x * 2
    state["old"] += 1
    state.update(more=[x])
    del state["old"]
    return len(state)


@TOPIC.program(call(Fresh(lambda: [3, 1, 2])))
def sorts_an_argument_in_place(numbers):
    numbers.sort(reverse=True)
    numbers.extend((7, 8))
    numbers[0:2] = [0]
    numbers.remove(8)
    return torch.tensor(numbers), numbers.pop()


@TOPIC.program(call(t(3), Fresh(lambda: {1, 2})))
def changes_a_set_argument(x, seen):
    seen.add(3)
    seen.discard(1)
    return x * len(seen), 2 in seen, sorted(seen)


@TOPIC.program(call(t(3)))
def builds_every_container(x):
    return [x, 1], (x + 1, "s"), {"k": x * 2, 3: None}, {1, 2}, frozenset((3,))


@TOPIC.program(call(t(3)))
def same_object_twice_in_the_result(x):
    inner = [x + 1]
    return [inner, inner, {"inner": inner}]


@TOPIC.program(call(t(3)))
def list_that_holds_itself(x):
    out = [x * 2]
    out.append(out)
    return out


@TOPIC.program(call([t(2), t(2)]))
def returns_its_argument(xs):
    return xs, xs[0], xs[1] + 1


@TOPIC.program(call(t(2)))
def starred_unpacking(x):
    first, *middle, last = [x, x + 1, x + 2, x + 3]
    *head, tail = (1, 2, 3)
    return first + last, middle, head, tail


@TOPIC.program(call(t(2)))
def starred_building(x):
    some = [x, x + 1]
    more = {"a": 1, **{"b": x}}
    return [0, *some, *range(2)], (*some, 3), {**more, "a": 2}, {*(1, 2), 3}


@TOPIC.program(call(t(2)))
def wrong_number_to_unpack(x):
    a, b = [x, x, x]
    return a + b


@TOPIC.program(call(t(2)))
def too_few_to_unpack(x):
    a, b, c = (x, x)
    return a + b + c


@TOPIC.program(call(t(6)))
def slices_of_lists(x):
    parts = [x[i] for i in range(6)]
    return parts[::2], parts[-1], parts[1:-1][0], parts[10:], parts[::-1][0]


@TOPIC.program(call(t(2)))
def list_methods(x):
    values = [x, x * 2]
    copied = values.copy()
    copied.reverse()
    copied += [x * 3]
    joined = values + copied
    return joined, len(joined), [1, 2, 2].count(2), [4, 5].index(5), values * 2


@TOPIC.program(call(t(2)))
def dict_methods(x):
    d = dict(a=x, b=2)
    d.setdefault("c", []).append(x)
    d.setdefault("a", 0)
    popped = d.pop("b"), d.pop("zz", None)
    merged = d | {"e": 5}
    made = dict.fromkeys(["u", "v"], 0)
    last = merged.popitem()
    return d, popped, merged, made, last, list(d.keys()), dict(zip("ab", (1, x)))


@TOPIC.program(call(t(2)))
def set_operations(x):
    a, b = {1, 2, 3}, {2, 3, 4}
    return (
        x * len(a & b),
        sorted(a | b),
        sorted(a - b),
        sorted(a ^ b),
        a <= b,
        {2} < a,
        a.isdisjoint({9}),
    )


@TOPIC.program(call(t(2)))
def tuples_compare_and_concatenate(x):
    return (1, 2) < (1, 3), (1,) + (x,), (1, 2) == (1, 2), (1, 2) * 2, (3, 1).index(1), 2 in (1, 2)


@TOPIC.program(call(t(2)))
def ordered_dict(x):
    d = collections.OrderedDict()
    d["b"] = x
    d["a"] = x + 1
    d.move_to_end("b")
    return d, list(d)


@TOPIC.program(call(t(2)))
def default_dict(x):
    d = collections.defaultdict(list)
    for i in range(4):
        d[i % 2].append(x * i)
    return d[0], d[1], len(d), 7 in d


@TOPIC.program(call(t(2)))
def deque(x):
    d = collections.deque([x, x + 1], maxlen=3)
    d.append(x + 2)
    d.append(x + 3)
    d.appendleft(x)
    return list(d), d.pop(), d.popleft(), len(d)


@TOPIC.program(call(t(2)))
def counter(x):
    counted = collections.Counter("abracadabra")
    return x * counted["a"], counted.most_common(1)[0][0]


Point = collections.namedtuple("Point", ["x", "y"])


@TOPIC.program(call(Point(t(2), 3)), call(Point(t(2), 4)))
def named_tuple(point):
    moved = point._replace(y=point.x * point.y)
    x, y = moved
    return moved, Point(x=x, y=1), point._fields, y[0] + point[1]


@TOPIC.program(call(t(3)))
def torch_size_is_a_tuple(x):
    shape = x.shape
    return (
        x.reshape(*shape, 1),
        tuple(shape) + (1,),
        len(shape),
        shape[-1],
        list(shape),
        shape == (3,),
    )


@TOPIC.made(
    fresh_call(t(3)),
    again(t(3)),
    after(lambda s: s["config"].update(scale=3), fresh_call(t(3))),
    again(t(3)),
    after(lambda s: s["config"].update(unrelated=3), call(t(3))),
)
def reads_a_dict_of_settings():
    config = {"scale": 2, "mode": "sum"}

    def program(x):
        return (x * config["scale"]).sum() if config["mode"] == "sum" else x

    return program, {"config": config}


@TOPIC.made(
    fresh_call(t(3)),
    again(t(3)),
    after(lambda s: s["order"].move_to_end("a"), fresh_call(t(3))),
    again(t(3)),
    after(lambda s: s["order"].move_to_end("b", last=False), again(t(3))),
    after(lambda s: s["order"].move_to_end("c", last=False), fresh_call(t(3))),
)
def iterates_over_an_ordered_dict():
    order = collections.OrderedDict(a=1.5, b=2.5, c=3.5)

    def program(x):
        for value in order.values():
            x = x * 2 + value
        return x, list(order), next(reversed(order))

    return program, {"order": order}


@TOPIC.made(call(t(3)), call(t(3)), call(t(3)))
def keeps_history_in_a_list():
    history = []

    def program(x):
        history.append(x * 2)
        return sum(history) + len(history)

    return program, history


@TOPIC.made(call(t(3)), call(t(3)))
def caches_in_a_dict():
    cache = {}

    def program(x):
        key = tuple(x.shape)
        if key not in cache:
            cache[key] = torch.ones(key)
        return x + cache[key]

    return program, cache


@TOPIC.program(call(t(2)))
def deletes_items(x):
    values = [x, 1, 2, 3]
    del values[1], values[-1]
    d = {"a": 1, "b": x}
    del d["a"]
    return values, d


@TOPIC.program(call([[t(2)], [t(2), t(2)]]))
def nested_lists(groups):
    return [torch.stack(group).sum(0) for group in groups]


@TOPIC.program(call(t(2)))
def dict_views(x):
    d = {"a": x, "b": 2}
    return (
        sorted(d.keys() & {"a", "c"}),
        [k for k in reversed(d)],
        list(d.values())[1],
        ("a", x) in [("a", x)],
        len(d.items()),
    )


@TOPIC.program(call(t(2)))
def chain_map(x):
    chained = collections.ChainMap({"a": 1}, {"a": 2, "b": x})
    return chained["a"] * chained["b"], len(chained)


NUMBERS = frozenset((int, float, bool))


@TOPIC.program(call(t(2), 3), call(t(2), "s"))
def set_of_classes(x, v):
    return x, type(v) in NUMBERS, list in NUMBERS, len(NUMBERS)


class Size(int):
    """A number with a name of its own."""


@TOPIC.made(
    call(t(3)),
    again(t(3)),
    after(lambda state: state.update(size=Size(1)), fresh_call(t(3))),
)
def key_of_a_subclass_of_int():
    state = {"size": Size(2), "table": {1: 4.0, 2: 5.0}, "row": [1, 2, 3]}

    def program(x):
        size = state["size"]
        return x * state["table"][size] + state["row"][size] + (7, 8, 9)[size], type(size).__name__

    return program, state


@TOPIC.program(call([1, 2], [t(2), "end"]))
def slices_set_to_a_list_that_existed_before(items, new):
    items[len(items) :] = new
    items[:1] = new
    return items, new


def letters():
    """Give what makes a small dict anew for each call."""
    return Fresh(lambda: {"a": 1, "b": 2, "c": 3})


@TOPIC.program(call(t(3), letters()), call(t(3), letters()), is_one_graph=False)
def keys_that_change_while_they_are_iterated_over(x, table):
    for key in table:
        table[key + "x"] = table.pop(key)
        x = x + table[key + "x"]
    return x


@TOPIC.program(call(t(3), letters()), call(t(3), letters()), is_one_graph=False)
def keys_that_change_while_their_values_are(x, table):
    seen = []
    for key, value in table.items():
        seen.append(key)
        x = x * value
        print(key)
        if key == "a":
            del table["b"]
            table["d"] = 4
    return x, seen


@TOPIC.program(call(t(3), letters()), call(t(3), letters()))
def entries_that_move(x, table):
    table["a"] = table.pop("a") + 1
    table.update(e=5, b=7)
    table[1] = table.setdefault("f", 2)
    del table["c"]
    return x * table["b"], list(table), table.popitem()


class Pairs:
    """A mapping that is no dict, and that can be indexed."""

    def keys(self):
        return ["a", "b"]

    def __getitem__(self, key):
        return key * 2


class Filled(dict):
    def __init__(self, *args):
        super().__init__(*args)


@TOPIC.program(call(t(3)))
def mappings_that_are_no_dicts(x):
    table = {"b": 0}
    table.update(Pairs())
    other = {}
    other |= Pairs()
    return x, table, other, dict(Pairs()), {**Pairs()}, Filled(Pairs())


@TOPIC.program(call(t(3)))
def numbers_compared_with_numbers_of_other_kinds(x):
    values = (1001, 1001.0, fractions.Fraction(2002, 2), decimal.Decimal("1001.0"), 1001 + 0j)
    return x, [one == other for one in values for other in values]
