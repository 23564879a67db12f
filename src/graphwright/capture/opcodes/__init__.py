"""The opcodes, by family: what each instruction of `capture/instructions.py` does to a frame.

In: the machine, a frame, the instruction's argument.   Out: None to go on, the index to jump to, or `LEAVE` or `SUSPEND`.
Read `stack.py` and `calls.py` first.
"""
