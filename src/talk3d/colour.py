"""Colours of decoded video frames: any transfer curve and matrix to 8-bit sRGB.

In: frames as PyAV decodes them. Out: upright RGB uint8, sRGB, square pixels. High
dynamic range (PQ, HLG) is mapped to the ordinary one.
"""

from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

__all__ = ["HLG", "PQ", "FrameConverter"]

_BT601, _BT709, _BT2020 = 5, 1, 9
PQ, HLG = 16, 18
"""Codes of the transfer curves of high dynamic range (ITU-T H.273)."""


class FrameConverter:
    """Turns decoded frames into upright sRGB arrays with square pixels."""

    def __init__(self, stream: VideoStream) -> None:
        self._aspect = stream.sample_aspect_ratio or Fraction(1)

    def __call__(self, frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """Return one frame."""
        if frame.color_trc in (PQ, HLG):
            picture = _standard_range(frame)
        else:
            space = int(frame.colorspace)
            if space not in (_BT601, 6, 4, 7, _BT709, _BT2020):
                space = _BT709 if frame.height >= 720 else _BT601
            picture = frame.to_ndarray(format="rgb24", src_colorspace=space)
        if self._aspect != 1 and self._aspect > 0:
            width = round(picture.shape[1] * self._aspect)
            picture = cv2.resize(picture, (width, picture.shape[0]))
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _standard_range(frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """Map an HDR picture (PQ or HLG, BT.2020) to sRGB."""
    wide = frame.to_ndarray(format="rgb48le", src_colorspace=_BT2020)
    code = np.linspace(0, 1, 4096, dtype=np.float32)
    light = (_pq_light if frame.color_trc == PQ else _hlg_light)(code)
    linear = light[np.right_shift(wide.astype(np.uint16), 4)]
    # BT.2020 to BT.709 primaries (ITU-R BT.2087).
    matrix = np.array(
        [
            [1.6605, -0.5876, -0.0728],
            [-0.1246, 1.1329, -0.0083],
            [-0.0182, -0.1006, 1.1187],
        ],
        dtype=np.float32,
    )  # fmt: skip
    linear = np.clip(linear @ matrix.T, 0, None)
    # Extended Reinhard: keeps mid tones, brings highlights of 10x white below 1.
    mapped = linear * (1 + linear / 100) / (1 + linear) * 1.5
    curve = 1.055 * mapped ** (1 / 2.4) - 0.055
    coded = np.where(mapped <= 0.0031308, 12.92 * mapped, curve)
    return (np.clip(coded, 0, 1) * 255 + 0.5).astype(np.uint8)


def _pq_light(code: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """SMPTE ST 2084: code value to light, 1 = 203 cd/m2 (BT.2408 graphics white)."""
    power = code ** (1 / 78.84375)
    ratio = np.clip(power - 0.8359375, 0, None) / (18.8515625 - 18.6875 * power)
    return (ratio ** (1 / 0.1593017578125) * 10000 / 203).astype(np.float32)


def _hlg_light(code: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """ARIB STD-B67: code value to light, 1 = the light of code value 0.75."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return (scene / 0.26496256).astype(np.float32) ** 1.2
