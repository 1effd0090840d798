"""Configuration of the generator: sizes and rules, written into every model file."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from talk3d.eg3d.backbone import Activation
from talk3d.eg3d.condition import CONDITION_DIMS
from talk3d.eg3d.stylegan2 import Upsampling
from talk3d.eg3d.superres import SuperResolutionConfig
from talk3d.eg3d.volume import VolumeConfig

__all__ = ["GeneratorConfig"]

_BOUNDS = {
    "z_dim": 4096, "w_dim": 4096, "decoder_width": 4096, "width_max": 4096,
    "plane_size": 2048, "plane_channels": 512, "neural_size": 2048,
    "mapping_depth": 64, "width_base": 2**20,
}  # fmt: skip
"""Bounds far above anything of use: a file must not ask for all the memory."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes and rules of a generator."""

    z_dim: int = 256
    """Length of the identity code."""
    w_dim: int = 256
    """Length of the style vectors."""
    condition_dims: tuple[int, ...] = CONDITION_DIMS
    """Lengths of the condition's parts: camera, then expression and gaze if any."""
    condition_scales: tuple[float, ...] = (1.0, 3.0, 3.0)
    """Factor on each part of the condition; 0 switches a part off."""
    pose_told: bool = False
    """Whether the condition's camera was told in training (EG3D's pose conditioning);
    then it is a frontal one where none is given, else zeros."""
    norm_floor: float = 0.25
    """Added to mean squares when code and condition are normalised."""
    mapping_depth: int = 2
    """Layers of the mapping network."""
    mapping_rate: float = 1.0
    """Learning-rate multiplier of the mapping layers; published networks 0.01."""
    plane_size: int = 128
    """Pixels per side of a plane, a power of two."""
    plane_channels: int = 32
    """Features of a plane, also of the rendered image."""
    width_base: int = 10240
    """Channels of a block are width_base // size, at most width_max."""
    width_max: int = 256
    """Bound on the channels of a block."""
    upsampling: Upsampling = "bilinear"
    """How the backbone doubles sizes."""
    noise: bool = False
    """Whether the backbone adds noise maps."""
    clamp: float | None = None
    """Bound of the backbone's activations; none for no bound."""
    decoder_width: int = 64
    """Hidden units of the decoder."""
    decoder_activation: Activation = "leaky"
    """Of the hidden units; published networks ``softplus``."""
    decoder_rate: float = 1.0
    """Learning-rate multiplier of the decoder."""
    neural_size: int = 64
    """Pixels per side of the rendered feature image."""
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    """How planes become rays."""
    superres: SuperResolutionConfig = field(default_factory=SuperResolutionConfig)
    """How features become the picture."""

    def __post_init__(self) -> None:
        """Check that the sizes fit together."""
        for name, most in _BOUNDS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                message = f"{name} is {value!r}: give a whole number from 1 to {most}"
                raise ValueError(message)
        if self.plane_size < 8 or self.plane_size & (self.plane_size - 1):
            message = f"plane_size is {self.plane_size}: give a power of two from 8 up"
            raise ValueError(message)
        if len(self.condition_dims) != len(self.condition_scales):
            message = (
                f"condition_scales has {len(self.condition_scales)} entries and"
                f" condition_dims {len(self.condition_dims)}: give one scale per part"
            )
            raise ValueError(message)
        if self.plane_channels < 3:
            message = (
                f"plane_channels is {self.plane_channels}: give at least 3, the first"
                " three are the colour"
            )
            raise ValueError(message)

    @classmethod
    def tiny(cls) -> "GeneratorConfig":
        """Return the sizes for tests: planes 32, picture 32."""
        return cls(
            z_dim=16,
            w_dim=16,
            plane_size=32,
            plane_channels=8,
            width_base=256,
            width_max=16,
            decoder_width=16,
            neural_size=16,
            volume=VolumeConfig(train_samples=(8, 0), samples=(8, 0)),
            superres=SuperResolutionConfig(input_size=16, widths=(8, 8), doublings=1),
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "GeneratorConfig":
        """Rebuild a configuration from its JSON form.

        Raises:
            ValueError: if a field is unknown. Missing fields, of files written
                before the field existed, take their defaults.
        """
        nested = {"volume": VolumeConfig, "superres": SuperResolutionConfig}
        values = {
            name: _built(nested[name], value) if name in nested else value
            for name, value in data.items()
        }
        return _built(cls, values)

    @property
    def condition_dim(self) -> int:
        """Length of the whole condition."""
        return sum(self.condition_dims)

    @property
    def plane_widths(self) -> tuple[int, ...]:
        """Channels of the backbone's blocks, from 4 x 4 pixels up."""
        sizes = [2**k for k in range(2, int(math.log2(self.plane_size)) + 1)]
        return tuple(min(self.width_base // s, self.width_max) for s in sizes)

    @property
    def num_layers(self) -> int:
        """Rows of ``w``: one per layer that owns one."""
        return 2 * int(math.log2(self.plane_size)) - 2


def _built(kind: Any, data: dict[str, Any]) -> Any:  # noqa: ANN401
    unknown = sorted(set(data) - {f.name for f in fields(kind)})
    if unknown:
        message = (
            f"{kind.__name__} does not know the fields {', '.join(unknown)}: use the"
            " talk3d version that wrote them"
        )
        raise ValueError(message)
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in data.items()
    }
    return kind(**values)
