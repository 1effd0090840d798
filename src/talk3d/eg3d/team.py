"""Shares of a training step: done one after the other, or by several processes.

A step's gradient is the mean over its shares, and what a share holds depends on the
seed, the step and its number alone; so a run comes out the same whether one process
does all of it or ``torchrun`` starts several.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

__all__ = ["Team", "joined"]


@dataclass(frozen=True)
class Team:
    """The processes that train together."""

    rank: int = 0
    """This process's number; 0 writes the files."""
    size: int = 1
    """How many there are."""

    def own(self, shares: int) -> range:
        """Return the shares that this process does.

        Raises:
            ValueError: if they cannot be dealt out evenly.
        """
        if shares % self.size:
            message = (
                f"{shares} shares of a step cannot be dealt out to {self.size}"
                f" processes evenly: give --shares {self.size} or a multiple of it"
            )
            raise ValueError(message)
        return range(self.rank, shares, self.size)

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the gradients of all processes, in place."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)

    def mean(self, metrics: list[dict[str, float]]) -> dict[str, float]:
        """Return the mean of the metrics of all shares of all processes.

        Args:
            metrics: of this process's shares; the same names in all.
        """
        names = list(metrics[0])
        rows = [[row[name] for name in names] for row in metrics]
        total = torch.tensor(rows, dtype=torch.float64).mean(0)
        if self.size > 1:
            distributed.all_reduce(total)
        return dict(zip(names, (total / self.size).tolist(), strict=True))


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that ``torchrun`` started, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    distributed.init_process_group("gloo")
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
