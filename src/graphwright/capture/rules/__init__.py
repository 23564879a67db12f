"""How known functions are called during a capture, by family.

In: the machine and a call's arguments.   Out: its result. What has no rule is interpreted (Python) or run natively (C).
Read `objects.py` first, then `torch_functions.py`.
"""
