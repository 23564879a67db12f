"""Builtin containers inside compiled functions: every method, the errors they raise, and what an iterator sees of a change."""

import collections

import pytest
import torch
from language_checks import same

X = torch.arange(3.0)


def outcomes(actions):
    """Give what each action gives, or the type and text of what it raises."""
    log = []
    for action in actions:
        try:
            log.append(action())
        except Exception as error:
            log.append((type(error).__name__, str(error)))
    return log


def outcome_types(actions):
    """Give what each action gives, or the type of what it raises."""
    log = []
    for action in actions:
        try:
            log.append(action())
        except Exception as error:
            log.append(type(error).__name__)
    return log


def test_list_methods():
    def program(x, items):
        own = [3, 1, 2]
        alias = own
        own.append(x)
        own.extend((4, 5))
        own.extend(k for k in "ab")
        own.insert(0, "first")
        own.insert(-1, "last but one")
        own.insert(100, "end")
        popped = own.pop(), own.pop(0), own.pop(-2)
        own.reverse()
        copied = own.copy()
        own.clear()
        items.append(7)
        items.sort(reverse=True)
        items += [0]
        items.insert(1, x)
        return (
            alias is own,
            popped,
            copied,
            items.count(7),
            items.index(7),
            items[::-1],
            items * 2,
            len(items),
        )

    same(program, X, [1, 5, 3])


def test_list_errors():
    def program(x, items):
        own = [1, 2]
        return (
            x,
            outcomes(
                [
                    lambda: own.pop(9),
                    lambda: [].pop(),
                    lambda: own.remove(9),
                    lambda: own.index(9),
                    lambda: own.index(1, 1),
                    lambda: own[9],
                    lambda: own.__setitem__(9, 1),
                    lambda: own.__delitem__(9),
                    lambda: own.insert("a", 1),
                    lambda: own + (1,),
                    lambda: own * "a",
                    lambda: own < 3,
                    lambda: own["a"],
                    lambda: own.extend(3),
                    lambda: own.sort(key=1),
                    lambda: [1, "a"].sort(),
                    lambda: own.append(),
                    lambda: items.pop(5),
                    lambda: items.index(99),
                    lambda: items.remove(99),
                    lambda: items[5],
                    lambda: items.sort(reverse=1, key=lambda k: -k),
                ]
            ),
            items,
        )

    same(program, X, [1, 2, 3])


def test_lists_of_objects_compare_by_their_methods():
    def program(x):
        seen = []

        class Item:
            def __init__(self, n):
                self.n = n

            def __eq__(self, other):
                seen.append(("eq", self.n))
                return isinstance(other, Item) and self.n == other.n

            def __lt__(self, other):
                seen.append(("lt", self.n, other.n))
                return self.n < other.n

            def __repr__(self):
                return f"Item({self.n})"

        items = [Item(k) for k in (3, 1, 2)]
        log = [
            Item(2) in items,
            items.index(Item(1)),
            items.count(Item(3)),
            items == [Item(3), Item(1), Item(2)],
        ]
        items.sort()
        log.append([item.n for item in items])
        items.sort(key=lambda item: -item.n)
        log.append([item.n for item in items])
        items.remove(Item(2))
        log.append(str(items))
        log.append((Item(1), 1) == (Item(1), 1))
        log.append({"a": Item(1)} == {"a": Item(1)})
        log.append([Item(1)] < [Item(2)])
        log.append(max(items).n)
        try:
            items.index(Item(9))
        except ValueError as error:
            log.append(str(error))
        dq = collections.deque(items)
        log.append(dq.index(Item(1)))
        return x, log, len(seen)

    same(program, X)


def test_dict_methods():
    def program(x, table):
        own = {"a": 1, "b": x}
        own.update({"c": 3}, d=4)
        own.update([("e", 5), ("f", 6)])
        log = [
            own.get("a"),
            own.get("zz"),
            own.get("zz", 7),
            own.setdefault("a", 9),
            own.setdefault("g", 10),
            own.pop("c"),
            own.pop("zz", None),
            own.popitem(),
            "a" in own,
            list(own),
            list(own.items())[0],
            len(own),
            {**own, "z": 1}["z"],
            (own | {"q": 1})["q"],
            dict.fromkeys("ab", 0),
            list(reversed(own)),
            {"a": 1} == {"a": 1.0},
        ]
        own |= {"h": 8}
        copied = own.copy()
        own.clear()
        table["new"] = x
        del table["k1"]
        table["k1"] = "again last"
        table.update(k2="changed")
        log.append(table.pop("k3"))
        return log, copied, own, list(table), table.get("k1")

    same(program, X, {"k1": 1, "k2": 2, "k3": 3})


def test_dict_errors():
    def program(x, table):
        own = {"a": 1}
        return x, outcomes(
            [
                lambda: own["zz"],
                lambda: own[[]],
                lambda: own.pop("zz"),
                lambda: {}.popitem(),
                lambda: own.__delitem__("zz"),
                lambda: own < {},
                lambda: own + {},
                lambda: dict([1]),
                lambda: dict([(1, 2, 3)]),
                lambda: dict(1),
                lambda: {[]: 1},
                lambda: own.update(3),
                lambda: own.fromkeys(3),
                lambda: own.get([]),
                lambda: [] in own,
                lambda: table["missing"],
                lambda: table.pop("missing"),
                lambda: table[{}],
                lambda: {**3},
                lambda: dict(**{1: 2}),
            ]
        )

    same(program, X, {"a": 1})


def test_set_methods():
    def program(x, members):
        own = {1, 2, 3}
        own.add(4)
        own.discard(9)
        own.remove(1)
        own.update([7], (8,))
        log = [
            own | {10},
            own & {2, 3},
            own - {2},
            own ^ {2, 100},
            own.union([1], "a"),
            own.intersection([2, 4]),
            own.difference({2}, [3]),
            own.symmetric_difference([2]),
            own.issubset(range(100)),
            own.issuperset([2]),
            own.isdisjoint([50]),
            {2} <= own,
            own > {2},
            own == {2, 3, 4, 7, 8},
            frozenset([1, 2]) | {3},
            frozenset("ab") == {"a", "b"},
            len(own),
            2 in own,
            sorted(own),
            {frozenset({1}): "k"}[frozenset([1])],
        ]
        own.intersection_update([2, 3, 4])
        own.difference_update([2])
        own.symmetric_difference_update([3, 5])
        members.add("z")
        members -= {"a"}
        members.discard("nothing")
        return x, log, own, members, sorted(members)

    same(program, X, {"a", "b"})


def test_set_errors():
    def program(x, members):
        own = {1}
        return x, outcomes(
            [
                lambda: own.remove(9),
                lambda: set().pop(),
                lambda: own.add([]),
                lambda: {[]},
                lambda: own | [1],
                lambda: own < [1],
                lambda: own[0],
                lambda: set(3),
                lambda: {1} + {2},
                lambda: frozenset().add(1),
                lambda: members.remove("zz"),
                lambda: hash(own),
                lambda: {own},
            ]
        )

    same(program, X, {"a"})


def test_tuple_and_range_methods():
    def program(x, n):
        t = (1, x, 1, "a")
        r = range(2, 20, 3)
        return (
            t.count(1),
            t.index("a"),
            t + (2,),
            t * 2,
            t[::-1],
            t[1:],
            (1, 2) < (1, 3),
            (1, 2) < (1, 2, 0),
            hash((1, "a")) == hash((1, "a")),
            r[2],
            r[-1],
            r[1:4],
            5 in r,
            6 in r,
            r.index(8),
            r.count(8),
            len(r),
            list(reversed(r)),
            r == range(2, 19, 3),
            r.start,
            r.stop,
            r.step,
            list(range(n, 0, -1)),
            sum(r),
            bool(range(0)),
            outcomes(
                [
                    lambda: t.index(9),
                    lambda: r.index(3),
                    lambda: range(1, 2, 0),
                    lambda: range(1.5),
                    lambda: t[9],
                ]
            ),
        )

    same(program, X, 3)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_slicing_follows_python(n):
    def program(x, n):
        items = list(range(n))
        bounds = (None, 0, 1, -1, 2, -3, 7, -9)
        log = []
        for start in bounds:
            for stop in bounds:
                for step in (None, 1, 2, -1, -2):
                    log.append(items[start:stop:step])
        return x, log, "abcdef"[n:-1:2], (1, 2, 3)[-n:]

    same(program, X, n)


def test_slice_assignment():
    def program(x, items):
        own = list(range(6))
        own[1:3] = []
        own[1:1] = ["in"]
        own[-2:] = (x, x)
        own[::2] = "abc"[: len(own[::2])] if len(own[::2]) <= 3 else own[::2]
        del own[1::2]
        own[:0] = [0]
        items[1:2] = [x, x + 1]
        items[-1:] = ()
        del items[:1]
        return (
            own,
            items,
            outcomes([lambda: own.__setitem__(slice(None, None, 2), [1, 2, 3, 4, 5])]),
        )

    same(program, X, [1, 2, 3])


def test_iterators_see_changes():
    def program(x, items):
        log = []
        own = [1, 2, 3]
        it = iter(own)
        log.append(next(it))
        own.append(4)
        own.insert(0, 0)
        log.append(list(it))
        own.append(9)
        log.append(next(it, "stays over"))
        back = reversed(own)
        log.append(next(back))
        own.pop()
        log.append(next(back))
        it = iter(items)
        items.pop()
        log.append(list(it))
        d = {"a": 1}
        keys = iter(d)
        d["b"] = 2
        log.append(outcomes([lambda: next(keys)]))
        s = {1}
        members = iter(s)
        s.add(2)
        log.append(outcomes([lambda: next(members)]))
        q = collections.deque([1, 2])
        it = iter(q)
        q.append(3)
        log.append(outcomes([lambda: next(it)]))
        return x, log

    same(program, X, [1, 2, 3])


def test_containers_that_hold_themselves():
    def program(x):
        own = [1]
        own.append(own)
        table = {"me": None}
        table["me"] = table
        a, b = [1], [2]
        a.append(b)
        b.append(a)
        return own, repr(own), table["me"] is table, repr(table), a

    same(program, X)


def test_nested_mutation_through_many_names():
    def program(x, state):
        inner = state["layers"][0]
        inner["weights"].append(x)
        alias = state["layers"]
        alias.append({"weights": inner["weights"]})
        for layer in state["layers"]:
            layer["count"] = layer.get("count", 0) + 1
        state["last"] = alias[-1]
        state["last"]["weights"].append("shared")
        del state["layers"][0]["old"]
        return len(inner["weights"]), alias is state["layers"]

    same(program, X, {"layers": [{"weights": [1], "old": 1}]})


def test_string_methods():
    def program(x, s):
        return x, [
            s.upper(), s.lower(), s.title(), s.swapcase(), s.capitalize(), s.casefold(),
            s.center(20, "*"), s.ljust(15, "."), s.rjust(15), s.zfill(15),
            s.find("o"), s.rfind("o"), s.count("l"), s.index("W"), s.rindex("o"),
            s.startswith("Hello"), s.endswith(("x", "ld")), s.startswith("W", 6),
            s.replace("l", "L", 2), s.split(), s.split("o"), s.rsplit("o", 1), s.partition(" "), s.rpartition("o"),
            "a\nb\r\nc".splitlines(), "a\nb".splitlines(keepends=True), " x ".strip(), "xxaxx".strip("x"), " x".lstrip(), "x ".rstrip(),
            "-".join(["a", "b"]), "-".join(c for c in s), s.isalpha(), "12".isdigit(), "a1".isalnum(), " ".isspace(), "A".isupper(),
            "a".islower(), "x1".isidentifier(), "Ab".istitle(), "1".isdecimal(), "½".isnumeric(), "a".isascii(), "\n".isprintable(),
            s.encode(), s.encode("utf-16").decode("utf-16"), s.expandtabs(), s.removeprefix("Hello"), s.removesuffix("ld"),
            s.translate(str.maketrans("lo", "01")), "{0} {name!r:>5} {1:.2f}".format(1, 2.5, name="n"), "{:{w}}".format(3, w=4),
            "%s %d %5.1f %r %%" % ("a", 3, 2.25, "q"), "%(k)s" % {"k": 1}, f"{s!r} {len(s):04d} {3.14159:.{2}f} {s=}",
            s[::-1], s * 2, s + "!", "l" in s, s < "Z", sorted(s)[:3], list(s)[:2], ord(s[0]), chr(97), ascii("é"), "{a.real}".format(a=3),
            "{0[k]}".format({"k": "v"}), str(b"x", "ascii"), "a,b".split(",", maxsplit=1), s.format_map({}) == s, "ß".upper(),
        ]  # fmt: skip

    same(program, X, "Hello World")


def test_string_errors():
    def program(x, s):
        return x, outcomes(
            [
                lambda: s.index("zz"),
                lambda: s[99],
                lambda: s["a"],
                lambda: s + 1,
                lambda: s * "a",
                lambda: "-".join([1]),
                lambda: "{}".format(),
                lambda: "{a}".format(),
                lambda: "%d" % "a",
                lambda: "%s %s" % (1,),
                lambda: int("1.5"),
                lambda: float("x"),
                lambda: "é".encode("ascii"),
                lambda: b"\xff".decode(),
                lambda: s.split(""),
                lambda: "{:d}".format("a"),
                lambda: f"{3:s}",
                lambda: chr(-1),
                lambda: ord("ab"),
                lambda: s.nothing(),
                lambda: 1 in s,
                lambda: s.center(10, "ab"),
            ]
        )

    same(program, X, "text")


def test_bytes_methods():
    def program(x, b):
        grown = bytearray(b)
        grown.append(33)
        grown.extend(b"??")
        grown[0] = 65
        del grown[1]
        return (
            x,
            [
                b.upper(), b.split(b","), b.hex(), bytes.fromhex("0aff"), b[0], b[1:3], b.find(b"b"), b.replace(b"a", b"A"),
                b + b"!", b * 2, list(b), b.decode(), b"%d" % 3, bytes(3), bytes([1, 2]), b.startswith(b"a"), b"-".join([b"x", b"y"]),
                int.from_bytes(b, "big"), (258).to_bytes(2, "little"), b == bytearray(b), bytes(grown), len(grown), grown.pop(),
            ],
        )  # fmt: skip

    same(program, X, b"a,b,c")


def test_integers_and_floats():
    def program(x, n, f):
        return (
            x,
            [
                n.bit_length(), (-n).bit_count(), n.to_bytes(2, "big"), int("ff", 16), int("0b11", 0), int(" 12 "), int(f), -7 // 2, -7 % 3,
                divmod(-7, 2), 7 ** -1, pow(3, 4, 5), pow(3, -1, 7), round(2.5), round(3.5), round(-1.25, 1), round(1234, -2), abs(-f),
                f.is_integer(), f.hex(), float.fromhex("0x1p-2"), f.as_integer_ratio(), float("inf") > n, float("nan") != float("nan"),
                f // 0.3, f % -0.7, 1e308 * 10, 0.1 + 0.2, -0.0, str(-0.0), complex(1, 2) * 1j, (3 + 4j).conjugate(), abs(3 + 4j),
                n << 70, n >> 1, n & 6, n | 8, n ^ 1, ~n, True + True, bool(0.0), int(True), n == float(n), hash(1) == hash(1.0),
                bin(n), oct(n), hex(-n), format(n, "08b"), f"{n:+d} {f:e} {f:g} {1e6:,} {0.5:%}", 10 ** 20, -(10 ** 20) // 7, 1_000,
            ],
            outcomes([lambda: 1 // 0, lambda: 1.0 % 0, lambda: 0 ** -1, lambda: 1 << -1, lambda: int("z", 10), lambda: 2.0 ** 10000,
                      lambda: (-1.0) ** 0.5, lambda: int(float("nan")), lambda: n + None, lambda: round("a")]),
        )  # fmt: skip

    same(program, X, 13, 2.5)


def test_unpacking_every_way():
    def program(x, items):
        a, (b, *c), d = 1, [2, 3, 4], "e"
        *e, f = items
        (g,) = [x]
        [h, i] = {"p": 1, "q": 2}
        for j, (k, *m) in enumerate([(1, 2, 3), "xyz"]):
            pass
        n = [*range(2), *"ab", *{"k": 1}, *(z for z in ())]
        o = {**{"a": 1}, "b": 2, **{"a": 3}}
        p = (*n, *n)
        q, r = r, q = 1, 2
        return (
            a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r,
            outcome_types([lambda: [u for u, v in [(1,)]], lambda: [u for u, v in [(1, 2, 3)]], lambda: [u for u, v in [1]]]),
        )  # fmt: skip

    same(program, X, [1, 2, 3])


def test_builtin_functions_over_iterables():
    def program(x, items):
        return (
            [
                min(items), max(items, key=lambda k: -k), min([], default="d"), max(1, 5, 3), sum(items, 10), sorted(items, reverse=True),
                list(enumerate(items, 5)), list(zip(items, "abc", range(9))), list(map(str, items)), list(filter(None, [0, 1, "", "a"])),
                list(reversed(items)), any([]), all([]), len(items), list(iter(items)), tuple(items), list(zip()),
                list(zip(*[(1, 2), (3, 4)])),
                dict(zip("ab", items)), next(iter([]), "none"), list(iter(iter(items).__next__, 3)), [*map(max, items, [2, 2, 2])],
                sorted("bca", key=str.upper), sorted([(1, "b"), (1, "a")]), sorted([3, 1, 2], key=lambda k: (k % 2, k)), callable(len),
            ],
            sum(x * k for k in items),
            outcome_types([lambda: min([]), lambda: max(1), lambda: sorted([1, "a"]), lambda: list(zip([1], [1, 2], strict=True)),
                           lambda: sum(["a"]), lambda: sum("ab", ""), lambda: next(iter([])), lambda: list(map(1, [1])),
                           lambda: reversed({1}),
                           lambda: enumerate(3), lambda: zip(1), lambda: len(iter([])), lambda: iter(len)]),
        )  # fmt: skip

    same(program, X, [4, 1, 3])
