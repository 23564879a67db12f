"""Plans and programs as bytes.

In: a `Plan` or `Program`.   Out: msgpack bytes, the same for equal data in every process; and back; and a hash of them.
Does not: know of versions; who stores the bytes keys them by the version that wrote them.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.plan import Plan
from graphwright.ir.program import Program

_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")


def encode_plan(plan: Plan) -> bytes:
    """Give `plan` as bytes."""
    return _ENCODER.encode(plan)


def decode_plan(data: bytes) -> Plan:
    """Give the plan that `encode_plan` wrote.

    Raises:
        InternalError: `data` is no plan of this version.
    """
    try:
        return msgspec.msgpack.decode(data, type=Plan)
    except msgspec.MsgspecError as error:
        message = f"the bytes hold no plan: {error}"
        raise InternalError(message) from error


def encode_program(program: Program) -> bytes:
    """Give `program` as bytes."""
    return _ENCODER.encode(program)


def decode_program(data: bytes) -> Program:
    """Give the program that `encode_program` wrote.

    Raises:
        InternalError: `data` is no program of this version.
    """
    try:
        return msgspec.msgpack.decode(data, type=Program)
    except msgspec.MsgspecError as error:
        message = f"the bytes hold no program: {error}"
        raise InternalError(message) from error


def structural_hash(value: msgspec.Struct) -> str:
    """Hash data of any IR: equal for equal data, in every process."""
    return hashlib.blake2b(_ENCODER.encode(value), digest_size=16).hexdigest()
