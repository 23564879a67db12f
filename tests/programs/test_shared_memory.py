"""Writes to memory that another tensor of the same call shows: what eager refuses, and what depends on its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import graphwright as gw

_WRITES = [
    "x[1:].add_(x[:-1])",
    "x[1:].copy_(x[:-1])",
    "x[1:]=x[:-1]",
    "x[:]=x",
    "x[idx]=x",
    "x[idx]=x[:2]",
    "x[idx]=x[1:3]",
    "x[mask]=x[mask]",
    "x[mask]=x",
    "x.index_add_(0,idx4,x)",
    "x.index_copy_(0,idx4,x)",
    "x.index_fill_(0,idx4,x[0])",
    "x.index_put_((idx4,),x)",
    "x.index_put_((idx4,),x,accumulate=True)",
    "x.scatter_(0,idx4,x)",
    "x.scatter_add_(0,idx4,x)",
    "x.scatter_reduce_(0,idx4,x,'sum')",
    "x.masked_scatter_(mask,x)",
    "x.masked_fill_(mask,x[0])",
    "x.put_(idx4,x)",
    "x.addmm_(x,x)",
    "x.mul_(x)",
    "x.mul_(x[:1])",
    "a = m + 1; torch.addmm(m, a, a, out=m)",
    "a = m + 1; torch.addmm(a, m, a, out=m)",
    "a = m[None] + 1; b = m[None] * 1; torch.baddbmm(b, a, a, out=b)",
    "torch.masked_select(x, mask, out=x)",
    "x.mul_(x.flip(0))",
    "x.add_(x.view(2,2).t().reshape(4))",
    "m.add_(m.t())",
    "m.copy_(m.t())",
    "m[:]=m.t()",
    "m.mul_(m[0])",
    "m[0].mul_(m[:,0])",
    "m[0].add_(m[0])",
    "m.addmm_(m,m)",
    "m.add_(m[:,:1])",
    "m.lerp_(m.t(),0.5)",
    "m.addcmul_(m.t(),m)",
    "m.clamp_(m.t())",
    "torch.add(x[1:],1,out=x[:-1])",
    "torch.add(x,1,out=x)",
    "torch.mul(m,2,out=m.t())",
    "torch.sum(m,0,out=m[0])",
    "torch.matmul(m,m,out=m)",
    "torch.cat([x[:2],x[2:]],out=x)",
    "torch.cumsum(x,0,out=x)",
    "x.cumsum_(0)",
    "x[1:].cumsum_(0)",
    "torch.gather(x,0,idx4,out=x)",
    "torch.index_select(x,0,idx4,out=x)",
    "torch.where(mask,x,x,out=x)",
    "torch.sort(x,out=(x,idx4))",
    "torch.max(m,0,out=(m[0],idx2))",
    "torch.softmax(x,0,out=x)",
    "torch._foreach_add_([x,x],1)",
    "x.expand(2,4).add_(1)",
    "x[:1].expand(4).add_(1)",
    "x.as_strided((3,2),(1,1)).add_(1)",
    "x.as_strided((3,2),(1,1)).copy_(m[:3,:2])",
    "x.as_strided((2,2),(1,1)).sort(out=(x.as_strided((2,2),(1,1)),idx2.expand(2,2)))",
    "x.unfold(0,2,1).mul_(2)",
    "x.unfold(0,2,1).fill_(2)",
    "x.unfold(0,2,1).zero_()",
    "x[idx4]+=x",
    "x[1:]+=x[:-1]",
    "x.view(2,2)[0].add_(x.view(2,2)[:,0])",
    "x.lerp_(x.flip(0),x)",
    "x.set_(x[1:])",
    "x.swapaxes_(0,0)",
    "x.sub_(x[0])",
    "x.div_(x[0])",
    "x.index_add_(0,idx,x[2:])",
    "x[:2].index_add_(0,idx,x[2:])",
    "x[:3].scatter_(0,idx,x[1:])",
    "m.fill_diagonal_(1); m.T.add_(m)",
    "m.triu_()",
    "torch.triu(m,out=m)",
    "torch.triu(m,out=m.t())",
    "m.t_().add_(m)",
    "m.masked_fill_(m>0, m[0,0])",
    "torch.bmm(m[None],m[None],out=m[None])",
    "m.baddbmm_(m,m)",
    "m.renorm_(2,0,1)",
    "m.atan2_(m.t())",
    "m.logical_and_(m.t())",
    "m.eq_(m.t())",
    "m.pow_(m.t())",
]


def _program(line: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"torch": torch}
    exec(f"def program(x, m, idx, idx4, idx2, mask):\n    {line}\n    return x + 0, m + 0\n", names)
    made: Callable[..., Any] = names["program"]
    return made


def _run(program: Callable[..., Any]) -> list[Any]:
    torch.manual_seed(0)
    given = {
        "x": torch.rand(4),
        "m": torch.rand(4, 4),
        "idx": torch.tensor([1, 0]),
        "idx4": torch.tensor([1, 0, 3, 2]),
        "idx2": torch.zeros(4, dtype=torch.long),
        "mask": torch.tensor([True, False, True, False]),
    }
    try:
        told: list[Any] = list(program(**given))
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        told = [type(error), str(error).partition("\n")[0]]
    return [*told, *given.values()]


@pytest.mark.parametrize("line", _WRITES)
def test_writes_do_what_they_do_in_eager(line: str) -> None:
    program = _program(line)
    expected, found = _run(program), _run(gw.compile(program))
    assert len(expected) == len(found)
    for one, other in zip(expected, found, strict=True):
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(other, one, equal_nan=True)
        else:
            assert other == one


def test_columns_of_a_large_tensor_are_apart() -> None:
    """Strided views that interleave have nothing in common, however many elements they have: no break."""

    def program(boxes: torch.Tensor) -> torch.Tensor:
        boxes[..., 2] += boxes[..., 0]
        boxes[:, ::2, 1].copy_(boxes[:, 1::2, 3])
        return boxes * 1

    expected, found = (torch.rand(8, 5000, 4, generator=torch.manual_seed(1)) for _ in "ab")
    torch.testing.assert_close(gw.compile(program, fullgraph=True)(found), program(expected))
    torch.testing.assert_close(found, expected)
