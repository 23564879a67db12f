"""What is done with values whose size is not known while a program is captured: in the graph, behind it, or after a break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import graphwright as gw

_USES = [
    "y[mask]=y[mask]",
    "y[mask]=y[mask]*2",
    "y[y[mask].shape[0]:]=1",
    "z=y[y[mask].shape[0]]",
    "y.data=y[mask]",
    "z=y+y[mask].sum()",
    "z=y[mask].sum().item()+1",
    "y.add_(y[mask].sum())",
    "z=torch.cat([y,y[mask]])",
    "z=[*y[mask]]",
    "y[0]=y[mask].sum()",
    "y[1:][mask[1:]]=y[mask]",
    "z=y[mask][0]",
    "y[torch.nonzero(mask)[:,0]]=5",
    "z=y[torch.nonzero(mask)[:,0]]",
    "z=len(y[mask])",
    "z=bool(y[mask].any())",
    "z=f'{y[mask]}'",
    "z={1:y[mask]}; y[z[1].long()]=3",
    "y.view(2,2)[0]=y[mask][:2]",
    "z=y.masked_select(mask); z+=1",
    "z=y[mask]; z.add_(1)",
    "z=y[mask]; z[0]=1",
    "z=y[mask]; del z",
    "z=y[mask]; z=z if z is not None else 0",
    "z=y[mask] == y[mask]",
    "z=-y[mask]",
    "z=y[mask] @ y[mask]",
    "z=range(y[mask].numel())",
    "z=y[:int(y.sum())]",
    "z=y.tolist()",
    "z=y.numpy() if not y.requires_grad else 0",
    "z=torch.zeros(int(mask.sum()))",
    "z=torch.arange(mask.sum())",
    "z=y.repeat_interleave(torch.tensor([1,2,0,1]))",
    "z=y.unique(); y[:z.shape[0]]=z",
    "z=[i for i in y if i>0.5]",
    "z=max(y)",
    "z=sum(y)",
    "z=sorted(y)",
    "z=y in [y]",
    "z=torch.tensor([y[0],y[1]])",
    "z=torch.tensor(y[0].item())",
    "y[y>0.5]*=2",
    "y[mask]+=1",
    "y[:,None][mask]=y[mask][:,None]",
]


def _run(program: Callable[..., Any]) -> tuple[str, str]:
    torch.manual_seed(0)
    x, mask = torch.rand(4), torch.tensor([True, False, True, False])
    try:
        told = str(program(x, mask))
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
    return told, str(x)


@pytest.mark.parametrize("line", _USES)
def test_uses_do_what_they_do_in_eager(line: str) -> None:
    names: dict[str, Any] = {"torch": torch}
    exec(
        f"def program(x, mask):\n    z = None\n    y = x + 0\n    {line}\n    return y, z\n", names
    )
    program = names["program"]
    assert _run(gw.compile(program)) == _run(program)


_CONTAINERS = [
    "sizes[0] = n; r = torch.tensor(sizes)",
    "sizes[0] = sizes[0] + n; r = torch.tensor(sizes) / 5",
    "sizes.append(n); r = torch.as_tensor(sizes), torch.full((2,), sizes[-1])",
    "sizes[0] = n; r = torch.zeros(sizes)",
    "sizes[0] = n; r = torch.ones(10).view(sizes[0], 2), torch.ones(10).split(sizes)",
    "sizes[0] = n; r = torch.tensor(sizes); sizes[0] = 1",
    "own = [n, 5]; r = torch.tensor(own); own[0] = 1",
    "own = {'size': [n, 2]}; r = torch.zeros(**own); own['size'] = [1]",
    "sizes[0] = n; r = str(sizes), sum(sizes), sizes + [1], max(sizes), sorted(sizes)",
    "gw.graph_break(); sizes[0] = n; r = torch.tensor(sizes)",
    "own = [0, 5]; gw.graph_break(); own[0] = own[0] + n; r = torch.tensor(own)",
]


@pytest.mark.parametrize("text", _CONTAINERS)
def test_containers_that_hold_late_values_are_read_as_they_were(text: str) -> None:
    names: dict[str, Any] = {"torch": torch, "gw": gw}
    exec(
        f"def program(d, sizes):\n    n = d.sum().item()\n    {text}\n    return r, sizes\n", names
    )
    program = names["program"]
    compiled = gw.compile(program)
    d = torch.ones(5, dtype=torch.int64)
    for _ in range(3):
        assert str(compiled(d, [0, 5])) == str(program(d, [0, 5]))
