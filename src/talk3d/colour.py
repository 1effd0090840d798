"""Decoded video frames as pictures: any transfer curve, matrix and size to 8-bit sRGB.

In: frames as PyAV decodes them. Out: upright RGB uint8, sRGB, square pixels, all of one
size. High dynamic range (PQ, HLG) is mapped to the ordinary one.
"""

from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

__all__ = ["HLG", "PQ", "FrameConverter", "scaled"]

_Picture = UInt8[np.ndarray, "height width 3"]

_BT601, _BT709, _BT2020 = 5, 1, 9
PQ, HLG = 16, 18
"""Codes of the transfer curves of high dynamic range (ITU-T H.273)."""
_SAME_SHAPE = 0.02
"""Difference of aspect that is rounding."""


class FrameConverter:
    """Turns decoded frames into upright sRGB arrays with square pixels.

    Where the size changes within a video, pictures are scaled to the size of the first;
    one of another shape is scaled to lie within it, on black.
    """

    def __init__(self, stream: VideoStream, first: VideoFrame) -> None:
        self._aspect = stream.sample_aspect_ratio or Fraction(1)
        width, height = self._square_width(first.width), first.height
        turned = round(first.rotation / 90) % 2
        self._size = (height, width) if turned else (width, height)

    def _square_width(self, width: int) -> int:
        return round(width * self._aspect) if self._aspect > 0 else width

    def __call__(self, frame: VideoFrame) -> _Picture:
        """Return one frame."""
        if frame.color_trc in (PQ, HLG):
            picture = _standard_range(frame)
        else:
            space = int(frame.colorspace)
            if space not in (_BT601, 6, 4, 7, _BT709, _BT2020):
                space = _BT709 if frame.height >= 720 else _BT601
            picture = frame.to_ndarray(format="rgb24", src_colorspace=space)
        width = self._square_width(frame.width)
        if width != frame.width:
            picture = cv2.resize(picture, (width, frame.height))
        turns = round(frame.rotation / 90) % 4
        picture = np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
        return _within(picture, self._size)


def scaled(
    picture: _Picture, size: tuple[int, int]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Scale to a width and height: averaging when it shrinks, cubic when it grows."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    shrinks = picture.shape[1] > size[0]
    return cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )


def _within(
    picture: _Picture, size: tuple[int, int]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Scale a picture into a width and height; what it does not fill is black."""
    height, width = picture.shape[:2]
    across, down = size[0] / width, size[1] / height
    if abs(across / down - 1) <= _SAME_SHAPE:
        return scaled(picture, size)
    scale = min(across, down)
    inner = scaled(picture, (round(width * scale), round(height * scale)))
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - inner.shape[0]) // 2, (size[0] - inner.shape[1]) // 2
    whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return whole


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
