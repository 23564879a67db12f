"""The digest of code tells what it does, not where it stands."""

import subprocess
import sys

from graphwright.ir.code_digest import code_digest

SOURCE = "def f(x, *, y=1):\n    z = {1, 2} if x in {3, 'a'} else 2.0\n    return [lambda: z + y]\n"


def compiled(source, filename="a.py"):
    scope = {}
    exec(compile(source, filename, "exec"), scope)
    return scope["f"].__code__


def test_place_of_code_plays_no_part():
    assert code_digest(compiled(SOURCE)) == code_digest(compiled("\n\n" + SOURCE, "b.py"))


def test_other_code_has_another_digest():
    changes = [
        SOURCE.replace("2.0", "3.0"),
        SOURCE.replace("2.0", "2"),
        SOURCE.replace("z + y", "z - y"),
        SOURCE.replace("lambda: z + y", "lambda: y + z"),
        SOURCE.replace("{3, 'a'}", "{3, 'b'}"),
        SOURCE.replace("*, y", "y"),
        SOURCE.replace("x in", "w in").replace("(x,", "(w,"),
    ]

    digests = {code_digest(compiled(source)) for source in [SOURCE, *changes]}

    assert len(digests) == len(changes) + 1


def test_digest_is_the_same_in_another_process():
    program = (
        "import sys; from graphwright.ir.code_digest import code_digest; scope = {};"
        f"exec(compile({SOURCE!r}, 'x', 'exec'), scope); print(code_digest(scope['f'].__code__))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert found == {code_digest(compiled(SOURCE))}


def test_run_code_keeps_its_digest():
    code = compiled("def f(n):\n    return sum(i * i for i in range(n))\n")
    before = code_digest(code)
    scope = {}
    exec(compile("def f(n):\n    return sum(i * i for i in range(n))\n", "a.py", "exec"), scope)
    for _ in range(200):
        scope["f"](50)

    assert code_digest(scope["f"].__code__) == before
