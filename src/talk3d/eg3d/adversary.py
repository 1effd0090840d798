"""Adversarial stage: a network tells the prior's pictures from the corpus's.

What blurs because nobody can know where a hair lies costs nothing more than its error
in the other stages; here it is seen to be no picture. EG3D's recipe (Chan et al. 2022,
sections 4.3 and 5; Goodfellow et al. 2014): a dual discriminator that knows the camera,
the non-saturating loss, R1 on picture and raw picture (Mescheder et al. 2018) on every
sixteenth step, and neighbouring points that agree in density. Windows instead of whole
pictures make it affordable without a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.eg3d.corpus import CorpusBatch
from talk3d.eg3d.discriminator import Discriminator, DiscriminatorConfig
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.images import Shown
from talk3d.precision import body_precision

__all__ = ["Adversary", "AdversaryConfig", "Judged", "roughness", "swapped"]

_R1_STEPS = 16
_DENSITY_POINTS = 1000
_DENSITY_SHIFT = 0.004


@dataclass(frozen=True)
class AdversaryConfig:
    """How pictures are judged."""

    weight: float = 0.1
    """Of the adversarial loss."""
    density: float = 0.003
    """Of the difference in raw density between neighbours. EG3D's 0.25 acts on a box
    eight times as large, mostly empty; with exact depth a tenth of that is enough."""
    r1: float = 0.3
    """Half of it times the squared gradient at real pictures is the penalty."""
    learning_rate: float = 2e-3
    """Adam step size of the discriminator."""
    channels: int = 32
    """Of the discriminator at full scale; twice as many at half of it."""
    swap: float | None = None
    """Pose conditioning: the generator is told the camera, in the end with this chance
    another picture's (EG3D: 0.5). None: it is told none."""
    swap_share: float = 0.2
    """Of the run, over which that chance falls from 1."""
    blur: float = 0.0
    """Of what is judged at first, pixels (EG3D: 10)."""
    blur_share: float = 0.2
    """Of the run, over which it falls to 0. EG3D's shares of its first run of 25
    million pictures are 0.04 for the swap and 0.008 for the blur; a run on a CPU has a
    thousandth of these pictures, and the network must learn in it, too."""
    grow_from: float = 1.0
    """Rays per side of made-up pictures at first, as a share of those in the end (EG3D:
    0.5). With exact depth there are always as many as in the end."""
    grow_share: float = 0.2
    """Of the run, over which they rise to all."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: if a number is out of range.
        """
        if self.swap is not None and not 0 <= self.swap <= 1:
            message = f"swap is {self.swap}: give a chance from 0 to 1"
            raise ValueError(message)
        if not 0 < self.grow_from <= 1:
            message = (
                f"grow_from is {self.grow_from}: give a share above 0, 1 for no growth"
            )
            raise ValueError(message)
        if self.blur < 0:
            message = f"blur is {self.blur}: give pixels, 0 for none"
            raise ValueError(message)

    def swap_at(self, part: float) -> float:
        """Return the chance of another's camera after a part of the run."""
        end = 1.0 if self.swap is None else self.swap
        return 1 + (end - 1) * min(part / self.swap_share, 1.0)

    def blur_at(self, part: float) -> float:
        """Return the blur after a part of the run, pixels."""
        return self.blur * max(1 - part / self.blur_share, 0.0)

    def rays_at(self, part: float, size: int) -> int:
        """Return the rays per side after a part of the run, in the end ``size``.

        Until then an even number: half as many rays look where the surface is.
        """
        done = min(part / self.grow_share, 1.0)
        share = self.grow_from + (1 - self.grow_from) * done
        return size if share == 1 else min(max(2, 2 * round(size * share / 2)), size)


@dataclass(frozen=True)
class Judged:
    """Pictures as the discriminator sees them."""

    picture: Float[Tensor, "batch 4 height width"]
    """Premultiplied colour and matte, -1 to 1."""
    raw: Float[Tensor, "batch 4 rows columns"]
    """The same before the super-resolution."""
    camera: Float[Tensor, "batch 25"]
    """Camera of each."""

    @classmethod
    def made(cls, shown: Shown, windows: CorpusBatch) -> "Judged":
        """Return what the generator shows."""
        return cls(shown.picture, shown.rendering.picture(), windows.camera)

    @classmethod
    def of(cls, picture: Float[Tensor, "batch 4 h w"], like: "Judged") -> "Judged":
        """Return true pictures in the sizes and with the cameras of made ones."""
        sizes = (like.picture.shape[-1], like.raw.shape[-1])
        shrunk = [
            functional.interpolate(picture, size=size, mode="area") for size in sizes
        ]
        return cls(shrunk[0], shrunk[1], like.camera)

    def blurred(self, width: float) -> "Judged":
        """Return the same with the picture blurred; the raw one stays.

        EG3D blurs true raw pictures, too, in raw pixels; windows are too small for it.

        Args:
            width: pixels; the kernel is 2^-(i/width)^2 up to three widths, cut at the
                borders.
        """
        reach = int(3 * width)
        if reach == 0:
            return self
        return Judged(_blurred(self.picture, width, reach), self.raw, self.camera)

    def detach(self) -> "Judged":
        """Return the same without its history."""
        return Judged(self.picture.detach(), self.raw.detach(), self.camera)


def swapped(
    camera: Float[Tensor, "batch 25"], share: float, *, chance: torch.Generator
) -> Float[Tensor, "batch 25"]:
    """Return each camera or, with a chance of ``share``, that of the item before.

    Told the camera of the picture alone, the generator would show another face to
    every camera (EG3D, section 4.4).
    """
    other = torch.rand(len(camera), 1, generator=chance) < share
    return torch.where(other, camera.roll(1, 0), camera)


def _blurred(images: Tensor, width: float, reach: int) -> Tensor:
    steps = torch.arange(-reach, reach + 1, device=images.device)
    taps = (2 ** -((steps / width) ** 2)).to(images.dtype)

    def passed(flat: Tensor) -> Tensor:
        flat = functional.conv2d(flat, taps.view(1, 1, 1, -1), padding=(0, reach))
        return functional.conv2d(flat, taps.view(1, 1, -1, 1), padding=(reach, 0))

    flat = images.flatten(0, 1)[:, None]
    whole = passed(torch.ones_like(flat[:1]))
    return (passed(flat) / whole)[:, 0].unflatten(0, images.shape[:2])


def roughness(
    generator: Generator,
    planes: Float[Tensor, "people 3 channels height width"],
    *,
    chance: torch.Generator,
) -> Float[Tensor, ""]:
    """Return how much raw density differs between neighbours (EG3D, 'l1')."""
    shape = (len(planes), _DENSITY_POINTS, 3)
    half = generator.config.volume.box / 2
    points = (torch.rand(shape, generator=chance) * 2 - 1) * half
    beside = points + _DENSITY_SHIFT * torch.randn(shape, generator=chance)
    raw = generator.query(planes, torch.cat([points, beside], dim=1))[0]
    first, second = raw.chunk(2, dim=1)
    return (first - second).abs().mean()


class Adversary:
    """The discriminator and its optimiser."""

    def __init__(self, config: AdversaryConfig, size: int) -> None:
        """Create them.

        Args:
            config: how to judge.
            size: pixels per side of what is judged.
        """
        self.config = config
        self.network = Discriminator(
            DiscriminatorConfig(
                image_size=size, width_base=config.channels * size, mapping_depth=2
            )
        )
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=config.learning_rate, betas=(0.0, 0.99)
        )

    def loss(self, fake: Judged, *, half: bool) -> Float[Tensor, ""]:
        """Return the generator's loss: what it shows should be taken for real."""
        with self._held():
            return (
                self.config.weight
                * functional.softplus(-self._logits(fake, half=half)).mean()
            )

    def study(
        self, fake: Judged, real: Judged, step: int, *, shares: int, half: bool
    ) -> dict[str, float]:
        """Add a share of a step's gradient and return its metrics.

        Args:
            fake: what the generator shows.
            real: what the corpus shows.
            step: counts from 0; R1 is applied on every sixteenth.
            shares: of the step.
            half: whether to run convolutions in bfloat16.
        """
        made_up = self._logits(fake.detach(), half=half)
        taken = self._logits(real, half=half)
        loss = functional.softplus(made_up).mean() + functional.softplus(-taken).mean()
        penalty = self._penalty(real) if step % _R1_STEPS == 0 else 0.0
        ((loss + penalty) / shares).backward()
        return {
            "judge": loss.item(),
            "real": taken.mean().item(),
            "made_up": made_up.mean().item(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes while training."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _logits(self, judged: Judged, *, half: bool) -> Tensor:
        with body_precision(judged.picture.device, half):
            return self.network(judged.picture, judged.raw, judged.camera)

    def _penalty(self, real: Judged) -> Tensor:
        """Return R1, as often as the steps between demand."""
        picture = real.picture.clone().requires_grad_()
        raw = real.raw.clone().requires_grad_()
        judged = self.network(picture, raw, real.camera)
        slopes = torch.autograd.grad(judged.sum(), [picture, raw], create_graph=True)
        total = slopes[0].square().sum() + slopes[1].square().sum()
        return self.config.r1 / 2 * _R1_STEPS / len(picture) * total

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Ask for no gradients of the discriminator's weights."""
        self.network.requires_grad_(requires_grad=False)
        try:
            yield
        finally:
            self.network.requires_grad_(requires_grad=True)
