"""The command line: `graphwright demo`, `bench` and `env`.

In: what the user typed.   Out: tables on the terminal, results as JSON, an exit status.
Read first: `app.py`, then `demo/run.py`. Importing this room imports neither torch nor transformers.
"""

from graphwright.cli.app import main

__all__ = ["main"]
