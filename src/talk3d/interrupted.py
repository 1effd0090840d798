"""Work that goes on where it was interrupted.

Comes in: what changes while a network is trained or fitted, and what the run is of.
Goes out: a state file, and the same run afterwards. The state file is data only
(``weights_only``), and opens on every machine, whatever device it was written from;
one of another run is refused, so nobody goes on as somebody else.

On the CPU a run that goes on equals one that was never interrupted, bit for bit. On
CUDA it does not: gradients are summed there in an order that changes from run to run.
"""

import json
import pickle
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from talk3d.checkpoint import write_atomically

__all__ = ["TRAINING_STATES", "StateFile", "plain"]

TRAINING_STATES = (".state", ".poses", ".last-poses")
"""Suffixes of what lies beside an avatar while it learns to speak: what is learned, and
heads registered before and after."""

_RUN = "run"


@dataclass(frozen=True)
class StateFile:
    """Where a run keeps what it needs to go on."""

    path: Path
    """The file; it need not be there yet."""
    every: int = 200
    """Steps between two writings of ``keep``."""

    def read(self, run: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what was written, or none if there is no file.

        Args:
            run: what the run is of, in plain values: configuration, hashes of data.

        Raises:
            ValueError: if the file is of another run, or is damaged.
        """
        if not self.path.is_file():
            return None
        saved = self.open()
        theirs = saved.get(_RUN)
        if not isinstance(theirs, dict):
            message = (
                f"{self.path} does not say what training it is of, as those of older"
                " versions of talk3d: remove it, or finish it with the older version"
            )
            raise ValueError(message)
        differing = sorted(k for k in {*run, *theirs} if theirs.get(k) != run.get(k))
        if differing:
            message = (
                f"the training in {self.path} was begun with another"
                f" {', '.join(differing)}: give the same, or remove the file"
            )
            raise ValueError(message)
        return saved

    def open(self) -> dict[str, Any]:
        """Return what was written, whatever run it is of, on the CPU.

        Raises:
            ValueError: if the file is no state of a run, or is damaged.
        """
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            message = (
                f"{self.path} holds no state of a training, or it is damaged"
                f" ({type(error).__name__}): remove it to begin anew"
            )
            raise ValueError(message) from error
        if not isinstance(saved, dict):
            message = f"{self.path} holds no state of a training: remove it"
            raise ValueError(message)
        return saved

    def write(self, run: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Write what the run is of, and what it needs to go on."""
        with write_atomically(self.path) as temporary:
            torch.save({_RUN: dict(run), **values}, temporary)

    def restore(
        self,
        run: Mapping[str, Any],
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> int:
        """Bring back network and optimiser, and return the steps done: 0 if no file.

        Args:
            run: what the run is of.
            network: of the sizes it was saved with.
            optimiser: of the network's parameters.

        Raises:
            ValueError: if the file is of another run, or is damaged.
        """
        saved = self.read(run)
        if saved is None:
            return 0
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
        if step % self.every == 0:
            values = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
            }
            self.write(run, values)


def plain(config: Any, *, without: Collection[str] = ()) -> dict[str, Any]:  # noqa: ANN401
    """Return a configuration (a dataclass) as JSON gives it back.

    Args:
        config: the configuration.
        without: names of fields that may change from one start to the next.
    """
    values = json.loads(json.dumps(asdict(config)))
    return {name: value for name, value in values.items() if name not in without}
