"""Dataclasses and named tuples."""

import dataclasses
from typing import Any, NamedTuple

import torch
from program_cases import Fresh, Topic, call, t

TOPIC = Topic("dataclasses")


@dataclasses.dataclass
class Output:
    logits: Any
    loss: Any = None
    parts: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Settings:
    scale: float = 1.0
    name: str = "x"


@dataclasses.dataclass
class Checked:
    n: int
    doubled: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.doubled = self.n * 2


@dataclasses.dataclass(slots=True, order=True)
class Compact:
    a: int
    b: int = 2


class Pair(NamedTuple):
    left: torch.Tensor
    right: int = 3

    def both(self):
        return self.left * self.right


@TOPIC.program(call(t(3)))
def returns_a_dataclass(x):
    return Output(x + 1, loss=x.sum())


@TOPIC.program(call(t(3), Settings(2.0)), call(t(3), Settings(3.0, "y")), call(t(3), Settings(2.0)))
def dataclass_argument(x, settings):
    return x * settings.scale, settings.name


@TOPIC.program(call(Fresh(lambda: Output(torch.ones(3), parts=[1]))))
def changes_a_dataclass(output):
    output.loss = output.logits.mean()
    output.parts.append(output.loss)
    return output


@TOPIC.program(call(t(3)))
def frozen_dataclass_refuses(x):
    Settings().scale = 3
    return x


@TOPIC.program(call(t(3)))
def post_init(x):
    return x * Checked(4).doubled


@TOPIC.program(call(t(3)))
def equality_order_and_slots(x):
    return (
        Compact(1) == Compact(1, 2),
        Compact(1) < Compact(2),
        x * Compact(5).b,
        sorted([Compact(3), Compact(1)])[0].a,
    )


@TOPIC.program(call(t(3)))
def helpers_of_dataclasses(x):
    s = dataclasses.replace(Settings(2.0), name="z")
    names = [f.name for f in dataclasses.fields(Output)]
    return x * s.scale, s.name, names, dataclasses.is_dataclass(s), dataclasses.asdict(s)


@TOPIC.program(call(Pair(t(3))), call(Pair(t(3), 5)))
def typed_named_tuple(pair):
    made = Pair(pair.left + 1)
    return pair.both(), made, made.right, pair._asdict()["right"]


@TOPIC.program(call(t(3)))
def default_factory_is_called_each_time(x):
    a, b = Output(x), Output(x)
    a.parts.append(1)
    return a.parts, b.parts, a.parts is b.parts


@TOPIC.program(call(t(3)))
def repr_of_a_dataclass(x):
    return repr(Settings()), x
