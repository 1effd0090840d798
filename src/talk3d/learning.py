"""The loop in which small networks learn from a corpus.

Comes in: a network, and a function that draws a batch and says how wrong the network
is. Goes out: the network after every step. AdamW with a warm-up, then a cosine to zero;
gradients are clipped to length 1; chance is a function of (seed, step), and a run goes
on from its state as if it had never stopped.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from talk3d.interrupted import StateFile

__all__ = ["Schedule", "learned"]

Network = TypeVar("Network", bound=nn.Module)
Step = Callable[[torch.Generator], tuple[Tensor, dict[str, Tensor]]]
"""From the source of chance of a step: the loss, and what is to be reported."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns."""

    steps: int
    """Length of the run."""
    learning_rate: float
    """Largest step size."""
    warm: int
    """Steps until it is reached."""
    weight_decay: float
    """AdamW's."""
    seed: int
    """Source of all chance."""


def learned(
    name: str,
    network: Network,
    step: Step,
    schedule: Schedule,
    *,
    run: Mapping[str, Any],
    state: StateFile | None,
) -> Iterator[tuple[int, dict[str, float], Network]]:
    """Train, yielding the steps done, what is reported and the network.

    Args:
        name: what the network is called where something goes wrong.
        network: changed in place.
        step: draws a batch and judges the network.
        schedule: how long and how fast.
        run: what the run is of, see ``StateFile.read``.
        state: where the run goes on from and is kept; none: it is not kept.

    Raises:
        FloatingPointError: if a loss is not finite.
        ValueError: if the state is of another run.
    """
    decay = schedule.weight_decay
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=decay)
    first = 0 if state is None else state.restore(run, network, optimiser)
    for number in range(first, schedule.steps):
        warm = min(1.0, (number + 1) / schedule.warm)
        fall = 0.5 * (1 + math.cos(math.pi * number / schedule.steps))
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * warm * fall
        chance = torch.Generator().manual_seed(schedule.seed * 1_000_003 + number)
        loss, reported = step(chance)
        if not torch.isfinite(loss):
            message = f"the loss of {name} is {loss.item()} at step {number}"
            raise FloatingPointError(message)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        done = number + 1
        if state is not None and done < schedule.steps:
            state.keep(run, network, optimiser, done)
        yield done, {key: value.item() for key, value in reported.items()}, network
