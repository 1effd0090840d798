"""Differentiable objectives on pictures.

Pictures are ``batch 3 height width``, sRGB, -1 to 1, in float32. Weights are maps of
one channel that say how much a pixel counts. Every function returns one number.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "PatchDiscriminator",
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "laplacian_loss",
    "texture_loss",
    "train_critic",
    "weighted_l1",
]

_LEAST_POWER = 1e-5
_PENALTY_EVERY = 8
_PENALTY = 0.02

Picture = Float[Tensor, "batch 3 height width"]
WeightMap = Float[Tensor, "batch 1 height width"]


def weighted_l1(
    result: Float[Tensor, "batch channels height width"],
    truth: Float[Tensor, "batch channels height width"],
    weight: WeightMap,
) -> Float[Tensor, ""]:
    """Return the weighted mean of absolute differences."""
    error = (result - truth).abs().mean(1, keepdim=True)
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def laplacian_loss(
    result: Picture, truth: Picture, weight: WeightMap, *, levels: int = 4
) -> Float[Tensor, ""]:
    """Return the mean absolute difference of the Laplacian pyramids.

    Each level holds one octave of detail, so fine detail counts as much as the broad
    tones that dominate a plain L1 (Bojanowski et al. 2018, Lap-1, with equal weights).
    """
    total = result.new_zeros(())
    difference = result - truth
    for _ in range(levels):
        coarse = functional.avg_pool2d(difference, 2)
        band = difference - functional.interpolate(
            coarse, scale_factor=2.0, mode="bilinear", align_corners=False
        )
        error = band.abs().mean(1, keepdim=True)
        total = total + (error * weight).sum() / weight.sum().clamp(min=1e-6)
        difference, weight = coarse, functional.avg_pool2d(weight, 2)
    error = difference.abs().mean(1, keepdim=True)
    return total + (error * weight).sum() / weight.sum().clamp(min=1e-6)


def texture_loss(
    result: Picture, truth: Picture, weight: WeightMap, *, levels: int = 2
) -> Float[Tensor, ""]:
    """Return how much the local strength of fine detail differs.

    Of each of the finest Laplacian bands, the deviation over windows of eight pixels
    is compared (the subband statistics of Portilla and Simoncelli 2000). A picture
    that is blurred because it cannot know where a hair lies pays here; the other
    losses say where things are.
    """
    total = result.new_zeros(())
    for _ in range(levels):
        sizes, coarse = [], []
        for picture in (result, truth):
            low = functional.avg_pool2d(picture, 2)
            band = picture - functional.interpolate(
                low, scale_factor=2.0, mode="bilinear", align_corners=False
            )
            power = functional.avg_pool2d(band.square(), 8, stride=4)
            sizes.append((power + _LEAST_POWER).sqrt())
            coarse.append(low)
        here = functional.avg_pool2d(weight, 8, stride=4)
        error = (sizes[0] - sizes[1]).abs().mean(1, keepdim=True)
        total = total + (error * here).sum() / here.sum().clamp(min=1e-6)
        (result, truth), weight = coarse, functional.avg_pool2d(weight, 2)
    return total


class PatchDiscriminator(nn.Module):
    """Tells real from rendered at every place of a picture (Isola et al. 2017).

    Each output sees 18 pixels, enough for lashes, teeth and hair, too little to learn
    the person.
    """

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        """Build the network for pictures of ``channels`` channels."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 1),
        )

    def forward(
        self, picture: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 1 rows columns"]:
        """Return a logit per place: positive means real."""
        return self.layers(picture.contiguous(memory_format=torch.channels_last))


def discriminator_loss(
    real: Float[Tensor, "batch 1 rows columns"],
    fake: Float[Tensor, "batch 1 rows columns"],
) -> Float[Tensor, ""]:
    """Return the logistic loss of the discriminator (Goodfellow et al. 2014)."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(fake: Float[Tensor, "batch 1 rows columns"]) -> Float[Tensor, ""]:
    """Return the non-saturating logistic loss of the generator."""
    return functional.softplus(-fake).mean()


def gradient_penalty(
    real: Float[Tensor, "batch 1 rows columns"],
    picture: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, ""]:
    """Return R1: the squared gradient of the logits at real pictures, per pixel.

    Mescheder et al. 2018, eq. 9, without the factor gamma / 2, and divided by the
    number of pixels: each of them is judged by logits of its own. ``picture`` must
    require a gradient.
    """
    (gradient,) = torch.autograd.grad(real.sum(), picture, create_graph=True)
    return gradient.square().sum(1).mean()


def train_critic(
    critic: PatchDiscriminator,
    optimiser: torch.optim.Adam,
    fake: Picture,
    real: Picture,
    *,
    step: int,
) -> None:
    """Move a discriminator one step, with a lazy R1 penalty every 8th.

    Args:
        critic: the discriminator.
        optimiser: its optimiser.
        fake: rendered pictures, without gradient.
        real: true pictures.
        step: number of the step.
    """
    penalised = step % _PENALTY_EVERY == 0
    real = real.detach().requires_grad_(penalised)
    judged = critic(real)
    loss = discriminator_loss(judged, critic(fake))
    if penalised:
        penalty = gradient_penalty(judged, real)
        loss = loss + _PENALTY * _PENALTY_EVERY * penalty
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
