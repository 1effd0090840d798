"""Judge lips and sound by the published SyncNet (Chung and Zisserman 2016).

In: the frames of a row, its landmarks, the sound. Out: offset, confidence and distance,
as papers print them (LSE-C, LSE-D). No weights are shipped and none are fetched: the
user names the published file (``syncnet_v2.model``) or the same tensors as
``.safetensors``.

Two networks look at 0.2 s each: five crops of the face, and 20 frames of 13 cepstra.
Both give 1024 numbers; their distance is small where lips and sound belong together.
As published, except: the crop is laid around our landmarks, not around a detector's
box, and no crop is compressed. Confidences are so read beside the truth's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.fft import dct
from scipy.ndimage import median_filter
from torch import Tensor, nn
from torch.nn.functional import pad

from talk3d.evaluate.material import Shots
from talk3d.evaluate.weights import named, read_weights

__all__ = ["SyncNet", "SyncScore", "cepstra", "load_syncnet", "published_shapes"]

FPS = 25.0
"""Frames a second that the network knows."""
_RATE = 16_000
_FRAMES, _STEPS, _STEPS_PER_FRAME = 5, 20, 4
_REACH = 15
"""Frames to both sides within which the offset is looked for."""
_SIDE, _GREY, _MARGIN, _MEDIAN = 224, 110, 0.4, 13
_BATCH = 8
_FACE = 468
_FILTERS, _CEPSTRA, _LIFTER, _EMPHASIS = 26, 13, 22, 0.97
_WINDOW, _HOP, _FFT = 400, 160, 512

Track = Float[np.ndarray, "frames 478 2"]
Wave = Float[np.ndarray, " samples"]


@dataclass(frozen=True)
class SyncScore:
    """What SyncNet says of a clip."""

    offset: float
    """Seconds by which the sound is late (the published AV offset is in frames and of
    the other sign)."""
    confidence: float
    """Median over all offsets minus the least distance (LSE-C)."""
    distance: float
    """The least mean distance (LSE-D)."""


class SyncNet(nn.Module):
    """The published network; layers are numbered as in its file."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_heard(1, 64, 3, padding=1), nn.Identity(),
            *_heard(64, 192, 3, padding=1), nn.MaxPool2d(3, (1, 2)),
            *_heard(192, 384, 3, padding=1),
            *_heard(384, 256, 3, padding=1),
            *_heard(256, 256, 3, padding=1), nn.MaxPool2d(3, 2),
            *_heard(256, 512, (5, 4)),
        )  # fmt: skip
        self.netfcaud = _joined()
        self.netfclip = _joined()
        self.netcnnlip = nn.Sequential(
            *_seen(3, 96, (5, 7, 7), stride=(1, 2, 2)), _pool(),
            *_seen(96, 256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1)), _pool(1),
            *_seen(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_seen(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_seen(256, 256, (1, 3, 3), padding=(0, 1, 1)), _pool(),
            *_seen(256, 512, (1, 6, 6)),
        )  # fmt: skip

    def hear(self, sound: Float[Tensor, "n 1 13 20"]) -> Float[Tensor, "n 1024"]:
        """Describe 0.2 s of cepstra."""
        return self.netfcaud(self.netcnnaud(sound).flatten(1))

    def see(self, faces: Float[Tensor, "n 3 5 224 224"]) -> Float[Tensor, "n 1024"]:
        """Describe five faces, blue, green and red from 0 to 255."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))

    @torch.inference_mode()
    def judge(
        self, shots: Shots, track: Track, wave: Wave, *, fps: float
    ) -> SyncScore | None:
        """Judge the frames of a clip.

        Args:
            shots: frame k, sRGB; as many as landmarks.
            track: landmarks in pixels; NaN where no face was found.
            wave: 16 kHz sound that begins with the first frame.
            fps: frames per second; of other rates than 25 the nearest frames are taken.

        Returns:
            The score; None for less than 1.5 s, or a face in under half of the frames.
        """
        known = np.asarray(np.isfinite(track).all(axis=(1, 2)))
        count = int(min(len(track) / fps, len(wave) / _RATE) * FPS) - _FRAMES
        if known.mean() < 0.5 or count <= 2 * _REACH:
            return None
        boxes = _boxes(track, known)
        moments = (np.arange(count + _FRAMES - 1) + 0.5) / FPS * fps
        frames = moments.astype(int).clip(max=len(track) - 1)
        seen: list[Tensor] = []
        for start in range(0, count, _BATCH):
            part = frames[start : start + _BATCH + _FRAMES - 1]
            faces = np.stack([_face(shots(int(k)), boxes[int(k)]) for k in part], 1)
            cuts = torch.from_numpy(faces).unfold(1, _FRAMES, 1)
            seen.append(self.see(cuts.permute(1, 0, 4, 2, 3)))
        sound = torch.from_numpy(cepstra(wave)).float()
        cuts = sound.unfold(0, _STEPS, _STEPS_PER_FRAME)[:count]
        heard = self.hear(cuts[:, None])
        return _score(torch.cat(seen)[: len(heard)], heard)


def load_syncnet(path: Path) -> SyncNet:
    """Build SyncNet from the user's weights.

    Raises:
        FileNotFoundError: The file is absent.
        ValueError: It holds something else.
    """
    found, network = read_weights(path), SyncNet()
    state = {name: named(found, name, path) for name in published_shapes()}
    try:
        network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        message = (
            f"The weights in {path} have other shapes than SyncNet's: give the"
            " published file (syncnet_v2.model)."
        )
        raise ValueError(message) from error
    return network.eval().requires_grad_(requires_grad=False)


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that is read from the published file."""
    state = SyncNet().state_dict()
    return {
        name: tuple(value.shape)
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }


def cepstra(wave: Wave) -> Float[np.ndarray, "steps 13"]:
    """Return mel-frequency cepstra, 100 a second, of a 16 kHz sound from -1 to 1.

    The numbers are those of the package ``python_speech_features`` with its defaults,
    which the network was trained on: samples as 16-bit integers, pre-emphasis of 0.97,
    25 ms without a taper, 26 triangles on whole FFT bins up to 8 kHz, orthonormal DCT,
    sine lifter of 22; the first number is the logarithm of the energy.
    """
    samples = np.round(np.asarray(wave, np.float64) * 32768).clip(-32768, 32767)
    samples = np.append(samples[:1], samples[1:] - _EMPHASIS * samples[:-1])
    steps = 1 + max(0, int(np.ceil((len(samples) - _WINDOW) / _HOP)))
    short = (steps - 1) * _HOP + _WINDOW - len(samples)
    samples = np.append(samples, np.zeros(max(0, short)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP][:steps]
    power = np.abs(np.fft.rfft(windows, _FFT)) ** 2 / _FFT
    least = np.finfo(float).eps
    energy, bands = power.sum(1), power @ _triangles().T
    energy, bands = (np.where(part == 0, least, part) for part in (energy, bands))
    found = np.asarray(dct(np.log(bands), type=2, axis=1, norm="ortho"))[:, :_CEPSTRA]
    found = found * (1 + _LIFTER / 2 * np.sin(np.pi * np.arange(_CEPSTRA) / _LIFTER))
    return np.column_stack([np.log(energy), found[:, 1:]])


def _triangles() -> Float[np.ndarray, "26 257"]:
    """Return the mel filters."""
    top = 2595 * np.log10(1 + _RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _FILTERS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * hertz / _RATE)
    bins = np.arange(_FFT // 2 + 1)
    left, middle, right = (edges[k : k + _FILTERS, None] for k in range(3))
    rising = (bins - left) / np.maximum(middle - left, 1)
    falling = (right - bins) / np.maximum(right - middle, 1)
    inside = (bins >= left) & (bins < right)
    return np.where(inside, np.where(bins < middle, rising, falling), 0.0)


def _boxes(track: Track, known: np.ndarray) -> Float[np.ndarray, "frames 3"]:
    """Return centre and half the longer side of the face, steadied over time."""
    face = track[known][:, :_FACE]
    low, high = face.min(1), face.max(1)
    found = np.column_stack([(low + high) / 2, (high - low).max(1) / 2])
    places, wanted = np.flatnonzero(known), np.arange(len(track))
    rows = [np.interp(wanted, places, row) for row in found.T]
    return np.stack([median_filter(row, _MEDIAN, mode="nearest") for row in rows], 1)


def _face(
    frame: UInt8[np.ndarray, "height width 3"], box: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 224 224"]:
    """Cut a face out: more below and beside it than above."""
    x, y, half = box
    wide = half * (1 + _MARGIN)
    scale = _SIDE / (2 * wide)
    corner = np.array([x - wide, y - half])
    matrix = np.column_stack([np.eye(2) * scale, (0.5 - corner) * scale - 0.5])
    cut = cv2.warpAffine(frame, matrix, (_SIDE, _SIDE), borderValue=(_GREY,) * 3)
    return np.ascontiguousarray(cut[..., ::-1].transpose(2, 0, 1), np.float32)


def _score(
    seen: Float[Tensor, "frames 1024"], heard: Float[Tensor, "frames 1024"]
) -> SyncScore:
    """Compare at every offset; beyond the ends the sound is zeros, as published."""
    padded = pad(heard, (0, 0, _REACH, _REACH))
    curve = torch.stack(
        [
            nn.functional.pairwise_distance(seen, padded[k : k + len(seen)]).mean()
            for k in range(2 * _REACH + 1)
        ]
    )
    least = int(curve.argmin())
    best = float(curve[least])
    return SyncScore((least - _REACH) / FPS, float(curve.median()) - best, best)


def _heard(
    inner: int, outer: int, kernel: int | tuple[int, int], *, padding: int = 0
) -> tuple[nn.Module, ...]:
    layer = nn.Conv2d(inner, outer, kernel, padding=padding)
    return layer, nn.BatchNorm2d(outer), nn.ReLU()


def _seen(
    inner: int,
    outer: int,
    kernel: tuple[int, int, int],
    *,
    stride: tuple[int, int, int] = (1, 1, 1),
    padding: tuple[int, int, int] = (0, 0, 0),
) -> tuple[nn.Module, ...]:
    layer = nn.Conv3d(inner, outer, kernel, stride, padding)
    return layer, nn.BatchNorm3d(outer), nn.ReLU()


def _pool(padding: int = 0) -> nn.MaxPool3d:
    return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, padding, padding))


def _joined() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024)
    )
