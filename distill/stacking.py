"""Networks of one architecture as one: their weights stacked, so that every operation is done once for all of them.

After `torch.func.stack_module_state` and `torch.vmap`, under which a convolution with weights of its own for every network
becomes one grouped convolution; see "Model ensembling" in the documentation of torch.func.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from distill.trace import Trace

STEP = "step"
"""What optimizers call the number of steps in the state of a weight, which is the same for all networks of a stack."""


class Stack(nn.Module):
    """The weights and buffers of several networks, stacked along a first axis.

    The tensors of each network become slices of the stacked ones: what is read from a network, or loaded into it, is read
    from the stack, or loaded into that, so that a network can be evaluated and written as if it were alone.

    Parameters
    ----------
    networks : sequence of Module
        Of one architecture and on one device, each with a `trace`; at least one.

    Examples
    --------
    >>> from distill.models import build_model
    >>> networks = [build_model("wrn10-1", dims=1, in_channels=3, classes=6) for _ in range(4)]
    >>> Stack(networks).trace(torch.zeros(4, 8, 3, 50)).logits.shape
    torch.Size([4, 8, 6])
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        first = networks[0]
        together = [_stacked([tensor.data for tensor in same]) for same in zip(*map(_tensors, networks), strict=True)]
        names = [name for name, _ in chain(first.named_parameters(), first.named_buffers())]
        self._names = tuple(f"network.{name}" for name in names)
        count = len(list(first.parameters()))
        self.weights = nn.ParameterList(together[:count])
        for number, tensor in enumerate(together[count:]):
            self.register_buffer(f"buffer_{number}", tensor)
        # in a tuple, since a module that were a child of this one would show its own weights as this one's
        self._form = (_Shown(copy.deepcopy(first).to("meta")),)
        self._link(networks)

    def take(self, networks: Sequence[nn.Module]) -> None:
        """Hold these networks of the same architecture, as many as before, instead of the ones before."""
        for stacked, *same in zip(_tensors(self), *map(_tensors, networks), strict=True):
            stacked.data.copy_(_stacked([tensor.data for tensor in same]))
        self._link(networks)

    def _link(self, networks: Sequence[nn.Module]) -> None:
        for k, network in enumerate(networks):
            for tensor, stacked in zip(_tensors(network), _tensors(self), strict=True):
                tensor.data = stacked.data[k]

    def trace(self, inputs: Tensor) -> Trace:
        """Return what each network shows of a batch of its own.

        Parameters
        ----------
        inputs : Tensor, shape (network, window, ...)

        Returns
        -------
        Trace
            Everything in it with a first axis of the networks. In training, running statistics are updated.
        """
        form = self._form[0].train(self.training)

        def shown(tensors: Mapping[str, Tensor], of_one: Tensor) -> dict[str, Any]:
            return functional_call(form, dict(tensors), (of_one,))

        return Trace(**torch.vmap(shown)(dict(zip(self._names, _tensors(self), strict=True)), inputs))


class _Shown(nn.Module):
    """A network whose call gives its trace as a dictionary, which `vmap` takes apart; what it lacks is left out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Any]:
        trace: Trace = self.network.trace(x)  # type: ignore[operator]
        return {name: value for name, value in vars(trace).items() if value is not None}


class StackedOptimizer:
    """One optimizer of the weights of a stack, whose state is that of the optimizers of its networks.

    SGD and AdamW change every weight by what belongs to this weight alone (its gradient, its momenta, the number of the
    step) and by rates that all share, so one optimizer of stacked weights does what one for each network would do. The same
    holds for running means of weights.

    Parameters
    ----------
    stack : Stack
    optimizers : sequence of Optimizer
        One for each network: of its weights and, after them, of whatever else is trained with it and is not stacked. All have
        done equally many steps. Their learning rate is that of the first.
    """

    def __init__(self, stack: Stack, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers
        self.weights = list(stack.weights)
        owned = [optimizer.param_groups[0]["params"] for optimizer in optimizers]
        self._own = [parameters[: len(self.weights)] for parameters in owned]
        others = [parameters[len(self.weights) :] for parameters in owned]
        group = {**optimizers[0].param_groups[0], "params": [*self.weights, *chain(*others)]}
        self.whole = type(optimizers[0])([group])  # type: ignore[call-arg]
        for number, weight in enumerate(self.weights):
            states = [
                o.state[own[number]] for o, own in zip(optimizers, self._own, strict=True) if own[number] in o.state
            ]
            if states:
                self.whole.state[weight] = {
                    name: _joined(name, [state[name] for state in states]) for name in states[0]
                }
        for optimizer, parameters in zip(optimizers, others, strict=True):
            for parameter in parameters:
                if parameter in optimizer.state:
                    self.whole.state[parameter] = optimizer.state[parameter]
        self._others = others

    def step(self) -> None:
        """Change all weights by their gradients, with the rate that the first optimizer has."""
        self.whole.param_groups[0]["lr"] = self.optimizers[0].param_groups[0]["lr"]
        self.whole.step()

    def share(self) -> None:
        """Let the state of each network's optimizer be its slice of the whole, to be read from there."""
        for k, (optimizer, own, others) in enumerate(zip(self.optimizers, self._own, self._others, strict=True)):
            for weight, parameter in zip(self.weights, own, strict=True):
                if weight in self.whole.state:
                    state = self.whole.state[weight]
                    optimizer.state[parameter] = {n: value if n == STEP else value[k] for n, value in state.items()}
            for parameter in others:
                if parameter in self.whole.state:
                    optimizer.state[parameter] = self.whole.state[parameter]


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors))


def _joined(name: str, values: Sequence[Tensor]) -> Tensor:
    return values[0].clone() if name == STEP else _stacked(values)
