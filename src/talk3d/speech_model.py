"""Speech models of others: wav2vec 2.0 and HuBERT, from a folder or the hub.

Comes in: the name of a model, 16 kHz sound and moments. Goes out: what a layer of the
model says around each moment. The model looks at windows of fixed length at fixed
places of the sound, so a moment's features do not depend on how the sound was cut.

Only safetensors are read and no code that comes with a model is run. The library that
knows these networks is the extra ``speech``.
"""

import contextlib
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.audio import SAMPLE_RATE
from talk3d.checkpoint import tensors_sha256

__all__ = ["SpeechModel", "load_speech_model"]

_LOG = logging.getLogger(__name__)
_TYPES = ("wav2vec2", "hubert")
_HOP, _FIELD = 320, 400
"""Samples from one output of the networks to the next, and those that one sees."""
_STEPS = 100
"""Outputs kept of a window,"""
_MARGIN = 50
"""and outputs to each side of them that are only looked at: one second."""
_DEPTH = 2 / 3
"""Layers used: the middle ones know the sounds of speech best, the last ones words or
the training's own task (Pasad et al., arXiv 2107.04734 and 2211.03929)."""
_OFFSETS = (-0.08, 0.0, 0.08)
_SILENCE = 1e-7
"""Variance below which a window is not made louder."""
_ID = r"[\w.-]+/[\w.-]+"
"""What ids on the hub look like."""
_FILES = ["config.json", "preprocessor_config.json", "model.safetensors"]
_OPTIONAL = "masked_spec_embed"
"""What only training uses."""


@dataclass(frozen=True)
class SpeechModel:
    """A network that has heard much speech."""

    name: str
    """The folder's name, or the id on the hub."""
    sha256: str
    """Of the weights that are used."""
    network: nn.Module
    """Sound (one window) to outputs, 50 a second; on the CPU."""
    normalised: bool
    """Whether it wants windows of mean 0 and variance 1."""
    width: int
    """Numbers of an output."""

    @property
    def numbers(self) -> int:
        """How many features a moment has."""
        return len(_OFFSETS) * self.width

    def heard(
        self, wave: Float[np.ndarray, " samples"], times: Float[np.ndarray, " frames"]
    ) -> Float[np.ndarray, "frames features"]:
        """Return what the network says around moments.

        Args:
            wave: 16 kHz mono sound, -1 to 1.
            times: moments, seconds; beyond the ends there is silence.
        """
        moments = np.maximum(times[:, None] + np.array(_OFFSETS), 0.0)
        place = np.maximum((moments * SAMPLE_RATE - _FIELD / 2) / _HOP, 0.0)
        low = np.floor(place).astype(int)
        blocks, index = np.unique(
            np.stack([low, low + 1]) // _STEPS, return_inverse=True
        )
        known = np.stack([self._block(wave, int(block)) for block in blocks])
        first, second = index.reshape(2, *low.shape)
        share = (place - low)[..., None]
        told = known[first, low % _STEPS] * (1 - share)
        told += known[second, (low + 1) % _STEPS] * share
        return told.reshape(len(times), -1)

    @torch.inference_mode()
    def _block(
        self, wave: Float[np.ndarray, " samples"], block: int
    ) -> Float[np.ndarray, "steps width"]:
        """Return the outputs of one window."""
        start = (block * _STEPS - _MARGIN) * _HOP
        length = (_STEPS + 2 * _MARGIN - 1) * _HOP + _FIELD
        window = torch.zeros(length)
        part = wave[max(start, 0) : max(start + length, 0)]
        offset = max(-start, 0)
        window[offset : offset + len(part)] = torch.from_numpy(part.astype(np.float32))
        if self.normalised:
            off = window - window.mean()
            window = off / (off.square().mean() + _SILENCE).sqrt()
        told: Tensor = self.network(window[None]).last_hidden_state[0]
        return told[_MARGIN : _MARGIN + _STEPS].double().numpy()


def load_speech_model(name: str, *, offline: bool = False) -> SpeechModel:
    """Load a wav2vec 2.0 or HuBERT model.

    Args:
        name: a folder with ``config.json``, ``preprocessor_config.json`` and
            ``model.safetensors``, or the id of such a model on the hub, from where it
            is fetched once.
        offline: fetch nothing.

    Raises:
        ImportError: if the extra ``speech`` is not installed.
        ValueError: if there is no such model, it may not or could not be fetched, or it
            is of another kind or damaged.
    """
    try:
        import transformers
    except ImportError as error:
        message = (
            f"the speech model {name} needs transformers, which is not installed: pip"
            " install 'talk3d[speech]'"
        )
        raise ImportError(message) from error
    transformers.utils.logging.disable_progress_bar()
    folder = _folder(name, offline=offline)
    with _readable(name):
        config = transformers.AutoConfig.from_pretrained(folder)
    hop = math.prod(getattr(config, "conv_stride", ()))
    if config.model_type not in _TYPES or hop != _HOP:
        message = (
            f"the speech model {name} is of type {config.model_type} with {hop} samples"
            f" from output to output: give one of type {' or '.join(_TYPES)} with"
            f" {_HOP}"
        )
        raise ValueError(message)
    with _readable(name):
        rules = transformers.AutoFeatureExtractor.from_pretrained(folder)
        network, found = transformers.AutoModel.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True
        )
    missing = sorted(set(found["missing_keys"]) - {_OPTIONAL})
    if missing or found["mismatched_keys"]:
        message = (
            f"the speech model {name} lacks weights ({', '.join(missing[:2]) or 'size'}"
            "): get another copy"
        )
        raise ValueError(message)
    if rules.sampling_rate != SAMPLE_RATE:
        message = (
            f"the speech model {name} wants {rules.sampling_rate} samples a second:"
            f" give one for {SAMPLE_RATE}"
        )
        raise ValueError(message)
    del network.encoder.layers[math.ceil(_DEPTH * config.num_hidden_layers) :]
    network = network.float().eval().requires_grad_(False)
    return SpeechModel(
        name=folder.resolve().name if Path(name).is_dir() else name,
        sha256=tensors_sha256(network.state_dict()),
        network=network,
        normalised=rules.do_normalize,
        width=config.hidden_size,
    )


def _folder(name: str, *, offline: bool) -> Path:
    """Return where a model lies; one of the hub is fetched if the cache lacks it."""
    import huggingface_hub

    if Path(name).is_dir():
        return Path(name)
    if not re.fullmatch(_ID, name):
        message = f"no folder at {name}: check the name of the speech model"
        raise ValueError(message)
    kept = [huggingface_hub.try_to_load_from_cache(name, file) for file in _FILES]
    if all(isinstance(path, str) for path in kept):
        return Path(str(kept[0])).parent
    if offline:
        message = (
            f"the speech model {name} is not in the cache and may not be fetched: leave"
            " out --offline, or give a folder"
        )
        raise ValueError(message)
    _LOG.warning("fetching the speech model %s from the hub, once", name)
    with _readable(name):
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_FILES))


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    """Say in one sentence what cannot be read.

    Raises:
        ValueError: if anything in the block fails.
    """
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        message = (
            f"the speech model {name} cannot be read ({reason}): give a folder with"
            " config.json, preprocessor_config.json and model.safetensors of a wav2vec"
            " 2.0 or HuBERT model, or the id of one on the hub"
        )
        raise ValueError(message) from error
