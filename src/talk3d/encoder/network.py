"""A network that looks at a face and tells who it is, in the prior's terms.

In: a picture as the prior shows people, premultiplied colour and matte. Out: the
identity code that a prior would need, expression, gaze, where the camera stands, and
an embedding of the person that pictures of the same person share. Fitting begins from
its code; the embedding compares people.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from talk3d.checkpoint import (
    file_sha256,
    half_precision,
    load_model,
    read_header,
    save_model,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "KIND",
    "WIDEST",
    "Encoded",
    "Encoder",
    "EncoderConfig",
    "embed",
    "knows",
    "load_encoder",
    "save_encoder",
    "shipped_encoder",
]

KIND = "encoder"
"""Kind of the model file."""
WIDEST = 40.0
"""Degrees of yaw up to which it was shown people."""
_GROUP = 16
_MOST = 4096
_MOST_WEIGHTS = 2**26
"""Both far above anything of use: a file must not ask for all the memory."""
_EXPRESSION, _GAZE, _CAMERA = 53, 4, 3


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the network."""

    size: int = 128
    """Pixels per side of what it looks at."""
    widths: tuple[int, ...] = (32, 48, 96, 160, 192)
    """Channels after each halving."""
    features: int = 256
    """Numbers that everything is read from."""
    z_dim: int = 256
    """Length of the prior's code."""
    embedding: int = 128
    """Length of the embedding."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.widths or any(w < _GROUP or w % _GROUP for w in self.widths):
            message = (
                f"the encoder's widths are {list(self.widths)}: give at least one,"
                f" each a multiple of {_GROUP}"
            )
            raise ValueError(message)
        if self.size < 1 or self.size % 2 ** len(self.widths):
            message = (
                f"the encoder looks at {self.size} pixels per side and halves them"
                f" {len(self.widths)} times: give a multiple of {2 ** len(self.widths)}"
            )
            raise ValueError(message)
        lengths = (self.features, self.z_dim, self.embedding)
        if not 1 <= min(lengths) <= max(lengths) <= _MOST:
            message = (
                f"the encoder has {self.features} features, a code of {self.z_dim} and"
                f" an embedding of {self.embedding} numbers: give 1 to {_MOST} of each"
            )
            raise ValueError(message)
        side = self.size // 2 ** len(self.widths)
        if self.widths[-1] * side * side * self.features > _MOST_WEIGHTS:
            message = (
                f"the encoder would have {self.features} features of {side} x {side}"
                f" places with {self.widths[-1]} channels: give fewer"
            )
            raise ValueError(message)
        if max(self.size, *self.widths) > _MOST:
            message = (
                f"the encoder looks at {self.size} pixels per side with widths"
                f" {list(self.widths)}: give at most {_MOST}"
            )
            raise ValueError(message)

    @classmethod
    def tiny(cls) -> EncoderConfig:
        """Return the sizes for tests."""
        return cls(size=32, widths=(16, 16, 16), features=32, z_dim=16, embedding=8)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderConfig:
        """Return the configuration that ``dataclasses.asdict`` and JSON made plain.

        Raises:
            ValueError: if a field is missing, unknown, or no whole number or list of
                them, or the sizes contradict each other.
        """
        wanted = {field.name for field in fields(cls)}
        numbers = [v for k, v in values.items() if k != "widths"]
        widths = values.get("widths")
        if (
            set(values) != wanted
            or not isinstance(widths, list | tuple)
            or not all(type(number) is int for number in [*numbers, *widths])
        ):
            message = (
                f"an encoder's configuration holds whole numbers {sorted(wanted)}"
                f" (widths is a list of them), this one is {dict(values)}"
            )
            raise ValueError(message)
        return cls(**{**values, "widths": tuple(widths)})


@dataclass(frozen=True)
class Encoded:
    """What the network says of pictures."""

    code: Float[Tensor, "batch z"]
    """Identity code of the prior."""
    expression: Float[Tensor, "batch 53"]
    """Weights relative to the sealed neutral."""
    gaze: Float[Tensor, "batch 4"]
    """Left yaw, pitch, right yaw, pitch in radians."""
    camera: Float[Tensor, "batch 3"]
    """Direction from the head to the camera, unit length, head frame."""
    embedding: Float[Tensor, "batch e"]
    """Unit length; the cosine of two says how much alike the people are."""


class Encoder(nn.Module):
    """The network; see the module's description."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        inputs = 4
        for width in config.widths:
            layers += [
                nn.Conv2d(inputs, width, 3, stride=2, padding=1),
                _Residual(width),
            ]
            inputs = width
        self.body = nn.Sequential(*layers)
        side = config.size // 2 ** len(config.widths)
        self.join = nn.Linear(inputs * side * side, config.features)
        self.code = nn.Linear(config.features, config.z_dim)
        self.face = nn.Linear(config.features, _EXPRESSION + _GAZE + _CAMERA)
        self.embed = nn.Linear(config.features, config.embedding)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(config.z_dim))
        self.spread: Tensor
        self.register_buffer("spread", torch.ones(config.z_dim))

    def forward(self, picture: Float[Tensor, "batch 4 height width"]) -> Encoded:
        """Look at pictures.

        Args:
            picture: premultiplied colour and matte, -1 to 1, square, of any size.
        """
        size = (self.config.size, self.config.size)
        if picture.shape[-1] != size[0]:
            picture = functional.interpolate(
                picture, size, mode="bilinear", antialias=True, align_corners=False
            )
        seen = self.body(picture).flatten(1)
        seen = functional.silu(self.join(functional.silu(seen))).float()
        told = self.face(seen).float()
        expression, gaze, camera = told.split([_EXPRESSION, _GAZE, _CAMERA], dim=1)
        return Encoded(
            code=self.mean + self.spread * self.code(seen).float(),
            expression=expression,
            gaze=gaze,
            camera=functional.normalize(camera, dim=1),
            embedding=functional.normalize(self.embed(seen).float(), dim=1),
        )


class _Residual(nn.Module):
    """Two convolutions that add to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        groups = width // _GROUP
        self.inner = nn.Sequential(
            nn.GroupNorm(groups, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(groups, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.inner(x)


def save_encoder(path: Path, encoder: Encoder, *, prior: str, step: int) -> None:
    """Write an encoder file in half precision.

    Args:
        path: the file.
        encoder: the network.
        prior: sha256 of the prior whose codes it tells.
        step: training steps.
    """
    save_model(
        path,
        half_precision(encoder.state_dict()),
        kind=KIND,
        config=asdict(encoder.config),
        step=step,
        parents={"prior": prior},
    )


def load_encoder(path: Path) -> Encoder:
    """Read an encoder file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds something else, or does not fit.
    """
    saved = load_model(path, kind=KIND)
    with torch.random.fork_rng():
        encoder = Encoder(EncoderConfig.from_json(saved.config))
    state = {name: value.float() for name, value in saved.state.items()}
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        message = f"the weights in {path} do not fit its configuration: {error}"
        raise ValueError(message) from error
    return encoder.requires_grad_(requires_grad=False).eval()


def shipped_encoder(prior: Path | None = None) -> Path | None:
    """Return the encoder that ships with the package, if there is one.

    Args:
        prior: whose codes it should tell; none: for its embedding alone.
    """
    path = Path(str(resources.files("talk3d"))) / "data" / "encoder-small.safetensors"
    if not path.is_file():
        return None
    return path if prior is None or knows(path, prior) else None


def knows(encoder: Path, prior: Path) -> bool:
    """Tell whether an encoder file tells the codes of a prior file."""
    return read_header(encoder)["parents"].get("prior") == file_sha256(prior)


@torch.no_grad()
def embed(
    encoder: Encoder, picture: UInt8[np.ndarray, "height width 4"]
) -> Float[np.ndarray, " e"]:
    """Return the embedding of a person.

    Args:
        encoder: the network.
        picture: straight sRGB colour and matte, cut as a subject is, within
            ``WIDEST`` of the front.
    """
    seen = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    colour, matte = seen.split([3, 1], dim=1)
    joined = torch.cat([colour * matte, matte], dim=1) * 2 - 1
    return encoder(joined).embedding[0].numpy()
