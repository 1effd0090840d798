"""Losses beyond the comparison with frames.

Comes in: what a training step drew. Goes out: loss terms. The first is on; the others
are off unless they are given a weight.

* **side detail**: a camera beside the recording's sees as much detail on a surface as
  the frames show there;
* **adversarial**: a discriminator of patches tells windows of the video from drawn
  ones, from the recording's camera and from one beside it (hinge loss, Lim and Ye
  2017; patches as in Isola et al. 2017, spectral norm as in Miyato et al. 2018);
* **reprojection**: what a camera beside the recording's sees of a surface has the
  colour that the recording's camera sees;
* **temporal**: from frame to frame the planes' offset changes no more than what drives
  it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from talk3d.camera import (
    camera_rays,
    pack_label,
    project,
    unpack_label,
    window_label,
)
from talk3d.device import CPU
from talk3d.eg3d.depths import Sampling
from talk3d.eg3d.generator import Generator, Rendering
from talk3d.frames import FrameBatch
from talk3d.losses import octave
from talk3d.precision import body_precision

__all__ = [
    "Drawing",
    "ExtraWeights",
    "Extras",
    "reprojection_error",
    "side_detail_error",
    "turned",
]

_TURN, _TILT = math.radians(50), math.radians(10)
"""Farthest yaw and pitch of the camera beside the recording's."""
_PIVOT = (0.0, 0.0, 0.05)
_SOLID, _NEAR = 0.95, 0.015
"""Opacity of a surface; distance (world units) that still is the same one."""
_SIDE_EVERY = 3
"""Steps for one in which detail from the side counts."""
_LEVELS, _REACH, _FEATURES = 2, 9, 5.0
"""Octaves of detail; side of the windows it is averaged over; what eyes and mouth count
beyond 1."""
_LEAST_POWER = 1e-5
_ALIKE = 0.1
"""Change of tokens at which 1/e of the offset's change counts as unexplained."""
_WIDTHS = (32, 64, 128)
_SLOPE = 0.2
_RATE = 4e-4


@dataclass(frozen=True)
class ExtraWeights:
    """How much each loss counts; 0: it is not computed."""

    side_detail: float = 1.5
    """Detail that does not fade from the side."""
    adversarial: float = 0.0
    """Patches that cannot be told from the video's."""
    reprojection: float = 0.0
    """Two cameras that agree."""
    temporal: float = 0.0
    """Offsets that change as their drivers do."""

    def beside(self, step: int) -> bool:
        """Tell whether a step needs a picture from beside."""
        always = self.reprojection or self.adversarial
        return bool(always or (self.side_detail and step % _SIDE_EVERY == 0))


@dataclass(frozen=True)
class Drawing:
    """What a training step drew."""

    batch: FrameBatch
    """The frames, or windows of them."""
    w: Float[Tensor, "batch layers w"]
    """Style vectors."""
    planes: Float[Tensor, "batch 3 c height width"]
    """Moved tri-planes."""
    rendering: Rendering
    """Before the super-resolution."""
    result: Float[Tensor, "batch 4 size size"]
    """Premultiplied colour and matte, -1 to 1."""

    def beside(
        self,
        generator: Generator,
        samples: Sampling,
        *,
        patch: int | None,
        half: bool,
        chance: torch.Generator,
    ) -> "Drawing":
        """Draw the same moments from cameras that are turned about the head.

        Args:
            generator: draws.
            samples: where to evaluate the field.
            patch: see ``Generator.upsample``.
            half: see ``AnimatorTrainConfig.half``.
            chance: turns the cameras.
        """
        count = len(self.batch.camera)
        draws = torch.rand(2, count, generator=chance).to(self.batch.camera)
        yaw, pitch = 2 * draws - 1
        camera = turned(self.batch.camera, yaw * _TURN, pitch * _TILT)
        camera = self._following(camera)
        rendering = generator.render(
            self.planes,
            camera,
            samples,
            neck=self.batch.neck,
            size=self.rendering.depth.shape[-1],
            half=half,
        )
        with body_precision(camera.device, half):
            result = generator.upsample(rendering, self.w, patch=patch)
        batch = replace(self.batch, camera=camera)
        return Drawing(batch, self.w, self.planes, rendering, result.float())

    @torch.no_grad()
    def _following(
        self, camera: Float[Tensor, "batch 25"]
    ) -> Float[Tensor, "batch 25"]:
        """Shift turned windows so that eyes or mouth (else all) stay in their place."""
        size = self.rendering.depth.shape[-1]
        origins, directions = camera_rays(self.batch.camera, size)
        depth = self.rendering.depth.flatten(1)
        points = origins + directions * depth[..., None]
        features = functional.interpolate(_features(self.batch), (size, size))
        solid = self.rendering.alpha > _SOLID
        weight = (solid * (features + 1e-6)).flatten(1)[..., None] + 1e-9
        middle = (points * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        before, after = (
            project(middle, c)[0][:, 0] for c in (self.batch.camera, camera)
        )
        return window_label(camera, after - before, 1.0)


class Extras:
    """The losses, and the discriminator that learns beside the animator."""

    def __init__(
        self, weights: ExtraWeights, *, seed: int, device: torch.device = CPU
    ) -> None:
        """Create what the losses with a weight need.

        Args:
            weights: how much each counts.
            seed: what the discriminator begins with.
            device: where it learns.
        """
        self.weights = weights
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._critic = _critic().to(device) if weights.adversarial else None
        if self._critic is not None:
            parameters = self._critic.parameters()
            self._optimiser = torch.optim.Adam(parameters, _RATE, betas=(0.0, 0.99))

    def pictures(self, first: Drawing, second: Drawing, step: int) -> dict[str, Tensor]:
        """Return the terms of pictures; the discriminator learns from them, too.

        Args:
            first: from the recording's cameras.
            second: from cameras beside them.
            step: detail from the side counts on some steps alone, and more.
        """
        terms = {}
        if self.weights.reprojection:
            error = reprojection_error(first, second)
            terms["reprojection"] = self.weights.reprojection * error
        if self.weights.side_detail and step % _SIDE_EVERY == 0:
            error = side_detail_error(first, second)
            terms["side detail"] = _SIDE_EVERY * self.weights.side_detail * error
        if self._critic is not None:
            drawn = torch.cat([first.result, second.result])[:, :3]
            self._learn(first.batch.premultiplied()[:, :3], drawn.detach())
            self._critic.requires_grad_(False)
            score = self._critic(drawn).mean()
            terms["adversarial"] = -self.weights.adversarial * score
            self._critic.requires_grad_(True)
        return terms

    def temporal(
        self,
        offsets: tuple[Tensor, Tensor],
        tokens: tuple[Tensor, Tensor],
        limit: Float[Tensor, "3"],
    ) -> Tensor:
        """Return by how much offsets of neighbouring frames change unexplained.

        Args:
            offsets: of the planes, at a frame and the next.
            tokens: of these frames.
            limit: the largest offset of each plane.
        """
        change = (offsets[1] - offsets[0]).abs().mean((2, 3, 4)) / limit
        moved = (tokens[1] - tokens[0]).detach().square().mean((1, 2)).sqrt()
        unexplained = torch.exp(-moved / _ALIKE)
        return self.weights.temporal * (change.mean(1) * unexplained).mean()

    def state(self) -> dict[str, Any]:
        """Return all that changes while learning."""
        if self._critic is None:
            return {}
        return {
            "critic": self._critic.state_dict(),
            "critic optimiser": self._optimiser.state_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a state."""
        if self._critic is not None:
            self._critic.load_state_dict(saved["critic"])
            self._optimiser.load_state_dict(saved["critic optimiser"])

    def _learn(self, true: Tensor, drawn: Tensor) -> None:
        assert self._critic is not None
        cost = functional.relu(1 - self._critic(true)).mean()
        cost = cost + functional.relu(1 + self._critic(drawn)).mean()
        self._optimiser.zero_grad(set_to_none=True)
        cost.backward()
        self._optimiser.step()


def reprojection_error(first: Drawing, second: Drawing) -> Float[Tensor, ""]:
    """Return the mean difference of colours that two cameras see of the same surface.

    Pixels of the second are looked up in the first where that camera sees the point,
    too; colours from -1 to 1.
    """
    colour, seen = _looked_up(first, second, first.result[:, :3])
    error = (second.result[:, :3] - colour).abs().mean(1, keepdim=True)
    return (error * seen).sum() / seen.sum().clamp(min=1.0)


def side_detail_error(first: Drawing, second: Drawing) -> Float[Tensor, ""]:
    """Return how much detail the second camera misses of what the first frames show.

    Of the finest Laplacian bands, the deviation around each point of the surface in
    the drawn picture is held against that in the frame (the subband statistics of
    Portilla and Simoncelli 2000, as in ``texture_loss``); more of it costs nothing, as
    outlines appear when a head turns. Near the frame's outline nothing is compared.
    """
    truth, shown = first.batch.premultiplied()[:, :3], second.result[:, :3]
    reach = _REACH + 2
    inside = -functional.max_pool2d(-first.batch.matte, reach, 1, reach // 2)
    others = torch.cat([inside, _features(first.batch)], dim=1)
    total = shown.new_zeros(())
    for _ in range(_LEVELS):
        (wanted, truth), (power, shown) = _detail(truth), _detail(shown)
        with torch.no_grad():
            maps = torch.cat([wanted, _grown(others, wanted.shape[-1])], dim=1)
            found, seen = _looked_up(first, second, maps)
        wanted, inner, features = found.split([3, 1, 1], dim=1)
        weight = seen * (inner > _SOLID) * (1 + _FEATURES * features)
        missing = functional.relu(wanted - power).mean(1, keepdim=True)
        total = total + (missing * weight).sum() / weight.sum().clamp(min=1.0)
    return total


def _detail(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return how strong the finest octave is around each pixel, and what is left."""
    band, low = octave(picture)
    power = functional.avg_pool2d(band.square(), _REACH, stride=1, padding=_REACH // 2)
    return (power + _LEAST_POWER).sqrt(), low


def _looked_up(
    first: Drawing, second: Drawing, maps: Float[Tensor, "batch c size size"]
) -> tuple[Float[Tensor, "batch c size size"], Float[Tensor, "batch 1 size size"]]:
    """Return maps of the first camera's picture as laid on what the second one sees.

    And 1 where both see the same solid surface.
    """
    size, count = maps.shape[-1], len(maps)
    origins, directions = camera_rays(second.batch.camera, size)
    depth = _grown(second.rendering.depth, size).flatten(1)
    points = origins + directions * depth[..., None]
    place, distance = project(points, first.batch.camera)
    grid = (2 * place - 1).unflatten(1, (size, size))
    others = torch.cat([first.rendering.depth, first.rendering.alpha], dim=1)
    found = functional.grid_sample(
        torch.cat([maps, _grown(others, size)], dim=1), grid, align_corners=False
    )
    behind, solid = found[:, -2], found[:, -1]
    near = (distance.view(count, size, size) - behind).abs() < _NEAR
    both = (solid > _SOLID) & (_grown(second.rendering.alpha, size)[:, 0] > _SOLID)
    seen = (both & near & (grid.abs() < 1).all(-1)).float()
    return found[:, :-2], seen[:, None]


def _features(batch: FrameBatch) -> Float[Tensor, "batch 1 size size"]:
    """Return 1 where eyes and mouth are."""
    return batch.mouth.maximum(batch.eyes)


def _grown(maps: Float[Tensor, "b c low low"], size: int) -> Tensor:
    return functional.interpolate(
        maps, size=(size, size), mode="bilinear", align_corners=False
    )


def turned(
    label: Float[Tensor, "batch 25"],
    yaw: Float[Tensor, " batch"],
    pitch: Float[Tensor, " batch"],
) -> Float[Tensor, "batch 25"]:
    """Return cameras that are turned about the middle of the head, radians."""
    pose, intrinsics = unpack_label(label)
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    around = torch.stack(
        [yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos()], -1
    ).unflatten(-1, (3, 3))
    over = torch.stack(
        [
            *(one, zero, zero),
            *(zero, pitch.cos(), pitch.sin()),
            *(zero, -pitch.sin(), pitch.cos()),
        ],
        -1,
    ).unflatten(-1, (3, 3))
    turn = around @ over
    pivot = pose.new_tensor(_PIVOT)
    moved = pose.clone()
    moved[:, :3, :3] = turn @ pose[:, :3, :3]
    off = pose[:, :3, 3] - pivot
    moved[:, :3, 3] = (turn @ off[..., None])[..., 0] + pivot
    return pack_label(moved, intrinsics)


def _critic() -> nn.Module:
    """Return the discriminator: a score for each patch of 46 pixels."""
    layers: list[nn.Module] = []
    for before, after in zip((3, *_WIDTHS), _WIDTHS, strict=False):
        conv = nn.Conv2d(before, after, 4, stride=2, padding=1)
        layers += [spectral_norm(conv), nn.LeakyReLU(_SLOPE)]
    layers.append(spectral_norm(nn.Conv2d(_WIDTHS[-1], 1, 4, padding=1)))
    return nn.Sequential(*layers)
