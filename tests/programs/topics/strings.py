"""Strings, bytes, formatting."""

from program_cases import Topic, call, t

TOPIC = Topic("strings")


@TOPIC.program(call(t(2, 3), "name", 3.14159, 42))
def f_strings(x, s, f, n):
    return x, f"{s!r:>10}|{f:.2f}|{n:05d}|{n:,}|{n:#x}|{f!s}|{s=}|{x.shape}|{{}}|{n:>{n // 8}}"


@TOPIC.program(call(t(2), "Hello World"))
def string_methods(x, s):
    return (
        s.upper(), s.lower(), s.split(), s.replace("l", "L", 1), s.startswith(("He", "x")), s.find("o"), s[::-1], s[1:3],
        s.partition(" "), "-".join(["a", "b"]), " a ".strip(), s.center(15, "*"), s.count("l"), "a,b".split(","), s.title(),
        s.zfill(13), "x" in s, len(s), s * 2, s + "!", s.encode(), s.isalpha(), "abc".removeprefix("a"), x,
    )  # fmt: skip


@TOPIC.program(call(t(2)))
def old_formatting(x):
    return "%(k)s!" % {"k": 1}, "%s-%d-%05.1f" % ("a", 3, 2.25), "{} {k:>4}".format(1, k="z"), x


@TOPIC.program(call(t(2)))
def bytes_and_repr(x):
    return b"abc"[1], b"a" + b"b", repr("q'"), ascii("é"), str([1, "a", None]), repr({"k": (1,)}), x


@TOPIC.program(call(t(2), "a"), call(t(2), "b"), call(t(2), "c"))
def dispatch_table(x, op):
    table = {"a": lambda v: v + 1, "b": lambda v: v * 2}
    return table.get(op, lambda v: v)(x)


@TOPIC.program(call(t(2)))
def iterate_and_compare_strings(x):
    return (
        [c for c in "abc"],
        sorted("hello"),
        "a" < "b",
        max("abc"),
        list(enumerate("xy")),
        dict(zip("ab", range(2))),
        x,
    )


@TOPIC.program(call(t(2)))
def bad_format(x):
    return format(x.shape[0], "zz")


@TOPIC.program(call(t(2)))
def string_and_number(x):
    return "a" + 3


class _Template(str):
    def __rmod__(self, other):
        return "asked", other, self.upper()


class _Declines(str):
    def __rmod__(self, other):
        return NotImplemented

    def __str__(self):
        return "declined"


_TEMPLATE, _DECLINES = _Template("own"), _Declines("x")


@TOPIC.program(call(t(2)))
def formatting_with_what_has_a_reflected_operator(x):
    return "%s" % _TEMPLATE, "%s" % _DECLINES, "%s" % _Template("made"), "%s" % _Declines("made"), x
