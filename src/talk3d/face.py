"""Find faces, their 478 landmarks, eyes and the person's mask in a picture.

In: RGB uint8 images. Out: points in image pixels (x right, y down, pixel centres at
half-integers), the metric face shape in the head frame of ``camera.py``.

The networks are MediaPipe's (Apache-2.0), run by LiteRT. They are not part of this
package: they are taken once from a published wheel, or from a folder the user names.
Points 0..467 are the face mesh, 468..472 the iris of the subject's right eye (centre,
then four rim points), 473..477 that of the left eye. Left is always the subject's.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float, UInt8
from safetensors import safe_open

from talk3d.face_models import MODEL_FILES

__all__ = [
    "INNER_LIPS",
    "LEFT_EYE",
    "OUTER_LIPS",
    "RIGHT_EYE",
    "FaceNets",
    "FaceShape",
    "FaceTracker",
    "Roi",
    "eye_openness",
    "load_face_shape",
]

_log = logging.getLogger(__name__)

_Image = UInt8[np.ndarray, "height width 3"]

RIGHT_EYE = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
)  # fmt: skip
"""Lid contour of the right eye: lower lid from the outer to the inner corner, upper."""
LEFT_EYE = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
)  # fmt: skip
"""Lid contour of the left eye, in the same order."""

OUTER_LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375,
    291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)  # fmt: skip
"""Rim of the lips toward the skin, from the right corner along the lower lip."""
INNER_LIPS = (
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324,
    308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
"""Rim of the lips toward the teeth, in the same order."""

_UPPER_LOWER = ((10, 2), (11, 3), (12, 4), (13, 5), (14, 6))
"""Positions in an eye contour: an upper lid point and the lower one below it."""

_EYE_LINE = (33, 263)
_MESH_SIZE, _IRIS_SIZE, _DETECTOR_SIZE, _MASK_SIZE = 192, 64, 128, 256
_MESH_MARGIN, _IRIS_MARGIN = 1.5, 2.3
_SURE = 0.5
_SHRINKS, _FINEST = 1.5, 12
"""Source pixels a bilinear sample stands for, and most samples a pixel and side."""


@dataclass(frozen=True)
class Roi:
    """A rotated square of an image that a network looks at."""

    x: float
    """Centre, pixels from the left edge."""
    y: float
    """Centre, pixels from the top edge."""
    size: float
    """Side, pixels."""
    roll: float
    """Angle of the square's x axis against the image's, radians, clockwise."""

    def to_image(self, out_size: int) -> Float[np.ndarray, "2 3"]:
        """Return the affine map from positions in the cut-out to image positions."""
        scale = self.size / out_size
        cos, sin = scale * np.cos(self.roll), scale * np.sin(self.roll)
        half = out_size / 2
        return np.array(
            [
                [cos, -sin, self.x - half * (cos - sin)],
                [sin, cos, self.y - half * (sin + cos)],
            ]
        )


def _cut(image: _Image, roi: Roi, size: int) -> Float[np.ndarray, "size size 3"]:
    """Resample a region to ``size`` pixels, values 0..255, averaging when shrinking."""
    over = min(max(1, math.ceil(roi.size / (_SHRINKS * size))), _FINEST)
    matrix = roi.to_image(size * over)
    # Positions count from pixel edges; OpenCV counts from the first pixel's centre.
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    cut = cv2.warpAffine(
        image,
        matrix,
        (size * over, size * over),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    if over > 1:
        cut = cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA)
    return cut.astype(np.float32)


def _square_around(
    points: Float[np.ndarray, "n 2"], line: Float[np.ndarray, "2 2"], margin: float
) -> Roi:
    low, high = points.min(0), points.max(0)
    dx, dy = line[1] - line[0]
    centre = (low + high) / 2
    side = float((high - low).max()) * margin
    return Roi(float(centre[0]), float(centre[1]), side, float(np.arctan2(dy, dx)))


class FaceNets:
    """The four networks, each behind one method. One instance serves one thread."""

    def __init__(self, folder: Path) -> None:
        self._nets = {
            name: Interpreter(str(folder / name), num_threads=1) for name in MODEL_FILES
        }
        for net in self._nets.values():
            net.allocate_tensors()
        self._anchors = _detector_anchors()

    def _run(self, name: str, tensor: np.ndarray) -> list[np.ndarray]:
        net = self._nets[name]
        net.set_tensor(net.get_input_details()[0]["index"], tensor[None])
        net.invoke()
        return [net.get_tensor(out["index"])[0] for out in net.get_output_details()]

    def detect(self, image: _Image, *, threshold: float = 0.5) -> list[Roi]:
        """Find faces, the largest first; each as the region for ``landmarks``.

        When nothing is found in the whole picture, overlapping squares of its shorter
        side are tried, which helps small faces in tall or wide pictures.
        """
        height, width = image.shape[:2]
        found = self._detect_in(image, (0, 0, max(height, width)), threshold)
        side = min(height, width)
        if not found:
            tiles = 2 * max(height, width) // side
            starts = np.linspace(0, max(height, width) - side, tiles).astype(int)
            for start in starts:
                corner = (0, int(start)) if height > width else (int(start), 0)
                square = (corner[0], corner[1], side)
                found += self._detect_in(image, square, threshold)
        return _strongest(found)

    def _detect_in(
        self, image: _Image, square: tuple[int, int, int], threshold: float
    ) -> list[tuple[float, Roi]]:
        x0, y0, side = square
        part = image[y0 : y0 + side, x0 : x0 + side]
        pad_x, pad_y = side - part.shape[1], side - part.shape[0]
        part = cv2.copyMakeBorder(
            part, pad_y // 2, pad_y - pad_y // 2, pad_x // 2, pad_x - pad_x // 2, 0
        )
        small = cv2.resize(part, (_DETECTOR_SIZE,) * 2, interpolation=cv2.INTER_AREA)
        boxes, logits = self._run(
            "face_detection_short_range.tflite",
            small.astype(np.float32) / 127.5 - 1.0,
        )
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        faces = []
        offset = np.array([x0 - pad_x // 2, y0 - pad_y // 2])
        for index in np.nonzero(scores > threshold)[0]:
            points = boxes[index].reshape(8, 2) / _DETECTOR_SIZE
            points[[0, *range(2, 8)]] += self._anchors[index]
            points = points * side
            centre = points[0] + offset
            dx, dy = points[3] - points[2]
            size = float(points[1].max()) * _MESH_MARGIN
            roll = float(np.arctan2(dy, dx))
            roi = Roi(float(centre[0]), float(centre[1]), size, roll)
            faces.append((float(scores[index]), roi))
        return faces

    def landmarks(
        self, image: _Image, rois: Sequence[Roi]
    ) -> tuple[Float[np.ndarray, "478 2"], float]:
        """Return the landmarks of one face and how sure the network is (0..1).

        Args:
            image: The picture.
            rois: Regions around the same face; the results are averaged, which calms
                the points.
        """
        meshes, sure = [], []
        for roi in rois:
            cut = _cut(image, roi, _MESH_SIZE) / 255
            raw, logit = self._run("face_landmark.tflite", cut)
            mesh = raw.reshape(468, 3)[:, :2]
            meshes.append(_apply(roi.to_image(_MESH_SIZE), mesh))
            sure.append(1 / (1 + np.exp(-float(logit.reshape(-1)[0]))))
        mesh = np.mean(meshes, 0)
        right, right_iris = self._eye(image, mesh[list(RIGHT_EYE)], mirrored=False)
        left, left_iris = self._eye(image, mesh[list(LEFT_EYE)], mirrored=True)
        mesh[list(RIGHT_EYE)] = right
        mesh[list(LEFT_EYE)] = left
        points = np.concatenate([mesh, right_iris, left_iris])
        return points.astype(np.float32), float(np.mean(sure))

    def _eye(
        self, image: _Image, contour: Float[np.ndarray, "16 2"], *, mirrored: bool
    ) -> tuple[Float[np.ndarray, "16 2"], Float[np.ndarray, "5 2"]]:
        corners = contour[[8, 0]] if mirrored else contour[[0, 8]]
        roi = _square_around(corners, corners, _IRIS_MARGIN)
        cut = _cut(image, roi, _IRIS_SIZE) / 255
        if mirrored:
            cut = np.ascontiguousarray(cut[:, ::-1])
        lids, iris = self._run("iris_landmark.tflite", cut)
        points = np.concatenate([lids.reshape(71, 3)[:16], iris.reshape(5, 3)])[:, :2]
        if mirrored:
            points[:, 0] = _IRIS_SIZE - points[:, 0]
        points = _apply(roi.to_image(_IRIS_SIZE), points)
        return points[:16], points[16:]

    def person_mask(self, image: _Image) -> Float[np.ndarray, "256 256"]:
        """Return how much each part of the whole picture belongs to a person (0..1)."""
        small = cv2.resize(image, (_MASK_SIZE,) * 2, interpolation=cv2.INTER_AREA)
        out = self._run("selfie_segmentation.tflite", small.astype(np.float32) / 255)
        return np.clip(out[0][..., 0], 0.0, 1.0)


def _apply(
    matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _detector_anchors() -> Float[np.ndarray, "896 2"]:
    grids = []
    for cells, repeats in ((16, 2), (8, 6)):
        y, x = np.mgrid[:cells, :cells]
        centres = np.stack([x, y], -1).reshape(-1, 2)
        grids.append(np.repeat((centres + 0.5) / cells, repeats, axis=0))
    return np.concatenate(grids)


def _strongest(found: list[tuple[float, Roi]]) -> list[Roi]:
    """Keep one region per face (of overlapping ones the surest), largest first."""
    kept: list[Roi] = []
    for _, roi in sorted(found, key=lambda item: -item[0]):
        gaps = [np.hypot(roi.x - k.x, roi.y - k.y) for k in kept]
        if all(gap > 0.4 * k.size for gap, k in zip(gaps, kept, strict=True)):
            kept.append(roi)
    return sorted(kept, key=lambda roi: -roi.size)


_VIEWS = ((0.0, 0.0, 1.0, 0.0), (0.02, 0.01, 1.08, 0.05), (-0.02, -0.01, 0.94, -0.05))
"""Shift x, shift y (of the side), scale and roll of the averaged regions."""


class FaceTracker:
    """Follow one face through a video.

    Attributes:
        sure: How sure the network was of the last frame (0..1).
    """

    def __init__(self, nets: FaceNets) -> None:
        self._nets = nets
        self._last: Float[np.ndarray, "478 2"] | None = None
        self.sure = 0.0

    def start(self, image: _Image, roi: Roi) -> Float[np.ndarray, "478 2"] | None:
        """Begin with a region that ``FaceNets.detect`` found."""
        self._last, self.sure = self._nets.landmarks(image, [roi])
        return self.follow(image)

    def expect(self, points: Float[np.ndarray, "478 2"]) -> None:
        """Have the next frame looked at where a face is known to be."""
        self._last = points

    def follow(self, image: _Image) -> Float[np.ndarray, "478 2"] | None:
        """Return the landmarks in the next frame; None when the face is lost."""
        if self._last is None:
            return None
        self._last, self.sure = self._nets.landmarks(image, _views(self._last))
        if self.sure < _SURE:
            self._last = None
        return self._last

    def update(self, image: _Image) -> Float[np.ndarray, "478 2"] | None:
        """Follow, or else find the largest face; None where there is no face."""
        found = self.follow(image)
        if found is not None:
            return found
        for roi in self._nets.detect(image)[:1]:
            return self.start(image, roi)
        return None


def _views(points: Float[np.ndarray, "478 2"]) -> list[Roi]:
    line = points[list(_EYE_LINE)]
    roi = _square_around(points[:468], line, _MESH_MARGIN)
    return [
        Roi(roi.x + dx * roi.size, roi.y + dy * roi.size, roi.size * s, roi.roll + r)
        for dx, dy, s, r in _VIEWS
    ]


@dataclass(frozen=True)
class FaceShape:
    """The landmarks as points of the metric head: mean and linear modes.

    Head frame and world units as in ``camera.py``. Measured on rendered heads of
    ICT-FaceKit (MIT licence; the notice is in the data file).
    """

    mean: Float[np.ndarray, "478 3"]
    """The average neutral face with sealed lips, eyes straight ahead."""
    identity: Float[np.ndarray, "modes 478 3"]
    """Offsets of one standard deviation per identity mode."""
    expression: Float[np.ndarray, "53 478 3"]
    """Offsets of the expression weights 0..1."""
    slide: Float[np.ndarray, "6 478 2"]
    """How the network's points slide with the view, see ``talk3d.slide``."""
    talking_slide: Float[np.ndarray, "10 478 2"]
    """The same on people who talk."""
    talking_depth: Float[np.ndarray, " 478"]
    """Mean z of the points on people who talk, world units."""
    spread: Float[np.ndarray, " 478"]
    """How far the network's point strays over people, world units."""
    expression_names: tuple[str, ...]
    """Names of the expressions, in ICT-FaceKit's order."""


def load_face_shape() -> FaceShape:
    """Load the metric face shape that ships with the package."""
    data = resources.files("talk3d").joinpath("data", "face_shape.safetensors")
    with (
        resources.as_file(data) as path,
        safe_open(path, framework="numpy") as file,
    ):
        names = tuple(json.loads(file.metadata()["expression_names"]))
        return FaceShape(
            file.get_tensor("mean"),
            file.get_tensor("identity"),
            file.get_tensor("expression"),
            file.get_tensor("slide"),
            file.get_tensor("talking_slide"),
            file.get_tensor("talking_depth"),
            file.get_tensor("spread"),
            names,
        )


def eye_openness(
    points: Float[np.ndarray, "*frames 478 2"],
) -> Float[np.ndarray, "*frames 2"]:
    """Return how far the left and the right eye are open: lid gap / eye width."""
    sides = []
    for contour in (LEFT_EYE, RIGHT_EYE):
        eye = points[..., list(contour), :]
        width = np.linalg.norm(eye[..., 0, :] - eye[..., 8, :], axis=-1)
        upper = eye[..., [u for u, _ in _UPPER_LOWER], :]
        lower = eye[..., [v for _, v in _UPPER_LOWER], :]
        gap = np.linalg.norm(upper - lower, axis=-1).mean(-1)
        sides.append(gap / np.maximum(width, 1e-6))
    return np.stack(sides, -1)
