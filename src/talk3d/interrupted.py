"""Training of one network that goes on where it was interrupted.

Comes in: a network, its optimiser and what the run is of. Goes out: a state file, and
the same run afterwards. The state file is data only (``weights_only``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from talk3d.checkpoint import write_atomically

__all__ = ["StateFile"]


@dataclass(frozen=True)
class StateFile:
    """Where a run keeps what it needs to go on."""

    path: Path
    """The file; it need not be there yet."""
    every: int = 200
    """Steps between two writings."""

    def restore(
        self,
        run: Mapping[str, Any],
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> int:
        """Bring back network and optimiser, and return the steps done: 0 if no file.

        Args:
            run: what the run is of, in plain values: configuration, data.
            network: of the sizes it was saved with.
            optimiser: of the network's parameters.

        Raises:
            ValueError: if the file is of another run.
        """
        if not self.path.is_file():
            return 0
        saved = torch.load(self.path, weights_only=True)
        differing = [k for k, v in run.items() if saved["run"].get(k) != v]
        if differing:
            message = (
                f"the training in {self.path} was begun with another"
                f" {', '.join(differing)}: give the same, or remove the file"
            )
            raise ValueError(message)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        return saved["step"]

    def keep(
        self,
        run: Mapping[str, Any],
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        step: int,
    ) -> None:
        """Write the state after a step, when it is time to."""
        if step % self.every:
            return
        with write_atomically(self.path) as temporary:
            torch.save(
                {
                    "run": dict(run),
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                },
                temporary,
            )
