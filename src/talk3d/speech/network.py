"""A network from sound to the mouth, for any voice.

In: log-mel features (``talk3d.audio.log_mel``, 100 frames/s). Out, 50 frames/s: an
embedding of the sound being spoken, and linear readings of it: mouth weights and the
phone. The embedding of a moment depends on `HearingConfig.reach` seconds to each side
and on nothing else; beyond the ends of the sound there is silence.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.audio import FRAME_RATE
from talk3d.checkpoint import file_sha256, load_model

__all__ = [
    "KIND",
    "MOUTH",
    "PHONES",
    "Hearing",
    "HearingConfig",
    "load_hearing",
    "shipped_hearing",
    "shipped_hearing_sha256",
]

KIND = "hearing"
"""Kind of the model file."""
MOUTH = (
    "jawOpen", "mouthPress", "mouthRollLower", "mouthRollUpper", "mouthUpperUp",
    "mouthLowerDown", "mouthShrugLower", "mouthStretch", "mouthSmile", "mouthFunnel",
    "mouthPucker", "mouthClose",
)  # fmt: skip
"""What speech moves, the mouth weights in their order; both sides alike."""
PHONES = (
    "_", *"pbmfvʍθðtdnlɾɫszʃʒkɡgŋxɹrɚɜɝwjhʔæɑaʌɐɛeiɪᵻɔoɒuʊʉəɘ", "t̪"
)  # fmt: skip
"""Sounds told apart; the first is silence."""
_STRIDE = 2
_PRESSED = "pbm"


@dataclass(frozen=True)
class HearingConfig:
    """Sizes of the network."""

    mels: int = 80
    """Mel bands of the sound."""
    channels: int = 160
    """Channels of the body."""
    dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    """One block of the body each."""
    width: int = 64
    """Numbers of the embedding."""
    mouth: int = 12
    """Mouth weights read from it."""
    phones: int = 51
    """Phones told apart."""

    @classmethod
    def tiny(cls) -> "HearingConfig":
        """Return the size for tests."""
        return cls(mels=20, channels=8, dilations=(1, 2), width=6)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "HearingConfig":
        """Return the configuration that ``dataclasses.asdict`` and JSON made plain."""
        return cls(**{**values, "dilations": tuple(values["dilations"])})

    @property
    def rate(self) -> float:
        """Embeddings per second."""
        return FRAME_RATE / _STRIDE

    @property
    def margin(self) -> int:
        """Feature frames to each side that an embedding depends on."""
        return 2 + _STRIDE * sum(self.dilations)

    @property
    def reach(self) -> float:
        """The same in seconds: the least delay of a live avatar."""
        return self.margin / FRAME_RATE


class _Block(nn.Module):
    """A dilated convolution that shortens the sequence by its dilation at both ends."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c s"]:
        """Add what the neighbourhood says."""
        # Normalised over the channels alone: a frame must not see the whole sound.
        level = self.norm(x.transpose(1, 2)).transpose(1, 2)
        change = self.mix(F.gelu(self.wide(level), approximate="tanh"))
        return x[..., self.dilation : -self.dilation] + change


class Hearing(nn.Module):
    """The network."""

    def __init__(self, config: HearingConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Conv1d(config.mels, config.channels, 5, stride=_STRIDE)
        self.body = nn.Sequential(
            *(_Block(config.channels, dilation) for dilation in config.dilations)
        )
        self.leave = nn.Linear(config.channels, config.width)
        self.mouth = nn.Linear(config.width, config.mouth)
        self.mouth_spread: Tensor
        self.register_buffer("mouth_spread", torch.ones(config.mouth), persistent=False)
        self.phone = nn.Linear(config.width, config.phones)

    def forward(
        self, features: Float[Tensor, "b frames mels"]
    ) -> Float[Tensor, "b steps width"]:
        """Return an embedding for every second feature frame, from the first on."""
        margin = self.config.margin
        padded = F.pad(features, (0, 0, margin, margin))
        x = F.gelu(self.enter(padded.transpose(1, 2)), approximate="tanh")
        x = self.leave(self.body(x).transpose(1, 2))
        return F.layer_norm(x, x.shape[-1:])

    def pressed(self, heard: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape"]:
        """Return how surely a sound is heard that presses the lips together, 0 to 1."""
        sure = self.phone(heard).softmax(-1)
        return sure[..., [PHONES.index(name) for name in _PRESSED]].sum(-1)

    @torch.no_grad()
    def at(
        self,
        features: Float[Tensor, "frames mels"],
        times: Float[Tensor, "*shape"],
    ) -> Float[Tensor, "*shape width"]:
        """Return embeddings at moments, between steps by linear interpolation.

        Args:
            features: `talk3d.audio.log_mel`, frame k at k / 100 s.
            times: seconds; may lie outside the sound, where there is silence.
        """
        outside = self.config.margin + 2 * _STRIDE
        heard = self(F.pad(features[None], (0, 0, outside, outside)))[0]
        place = (times.double() * FRAME_RATE + outside) / _STRIDE
        place = place.clamp(0, len(heard) - 1.001)
        low = place.floor().long()
        share = (place - low).to(heard.dtype)[..., None]
        return heard[low] * (1 - share) + heard[low + 1] * share


def load_hearing(path: Path) -> Hearing:
    """Read a network from its file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or its weights do not fit.
    """
    checkpoint = load_model(path, kind=KIND)
    state = {name: value.float() for name, value in checkpoint.state.items()}
    try:
        network = Hearing(HearingConfig.from_json(checkpoint.config))
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        message = (
            f"the weights in {path} do not fit its configuration: make it again with"
            " talk3d speech train"
        )
        raise ValueError(message) from error
    spread = checkpoint.extra.get("spread", network.mouth_spread.tolist())
    network.mouth_spread = torch.tensor(spread)
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def shipped_hearing() -> Hearing:
    """Return the network that ships with the package."""
    with _shipped() as path:
        return load_hearing(path)


@lru_cache(maxsize=1)
def shipped_hearing_sha256() -> str:
    """Return the sha256 of the file of the network that ships with the package."""
    with _shipped() as path:
        return file_sha256(path)


def _shipped() -> AbstractContextManager[Path]:
    """Return the file that ships with the package, for as long as it is read."""
    folder = resources.files("talk3d") / "data"
    return resources.as_file(folder / "hearing.safetensors")
