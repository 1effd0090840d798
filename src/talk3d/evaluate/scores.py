"""Score rows of frames against the truth, moment by moment.

Per frame, a score is named `region/metric`: `matte/psnr`, `mouth/mae`, `eyes/power`.
`power` is the row's power above a quarter of Nyquist, `power_truth` the truth's; the
clip's `sharpness` is the ratio of their means over the frames (a mean of ratios would
be ruled by the few frames where the truth itself is blurred). Landmark scores start
with `lips/`, `face/`, `sound/`, `judge/`, `syncnet/` or `eyes/`. NaN marks what could
not be measured in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from talk3d.encoder.network import Encoder, embed
from talk3d.evaluate import blinks, metrics, points, structure
from talk3d.evaluate.material import Shots, Truth
from talk3d.evaluate.perceptual import Lpips
from talk3d.evaluate.regions import matte_mask, region_masks, shrink
from talk3d.face import FaceNets, FaceTracker
from talk3d.judge.network import shipped_judge
from talk3d.judge.verdict import judge_sync
from talk3d.sync import sound_offset

__all__ = [
    "PerFrame",
    "Score",
    "averaged",
    "identity_scores",
    "landmark_floor",
    "landmark_scores",
    "perceptual_scores",
    "picture_scores",
    "summarise",
    "track",
]

Track = Float[np.ndarray, "frames 478 2"]
PerFrame = dict[str, Float[np.ndarray, " frames"]]

_RATE = 16_000
_BOXED = ("mouth", "eyes")


@dataclass(frozen=True)
class Score:
    """One number of one row, over the frames."""

    mean: float
    """Mean over the frames (for clip scores: the number itself)."""
    spread: float
    """Standard deviation over the frames; 0 for clip scores."""
    low: float
    """Smallest frame."""
    high: float
    """Largest frame."""
    frames: int
    """Frames it was measured in."""


def track(shots: Shots, count: int, *, nets: FaceNets) -> Track:
    """Find the landmarks of every frame, in pixels; NaN where no face is seen."""
    tracker = FaceTracker(nets)
    found = [tracker.update(np.ascontiguousarray(shots(k))) for k in range(count)]
    lost = np.full((478, 2), np.nan, np.float32)
    return np.stack([lost if one is None else one for one in found])


def picture_scores(
    rows: Sequence[tuple[str, Shots]],
    truth: Truth,
    *,
    moments: Sequence[int],
    landmarks: Track | None,
) -> dict[str, PerFrame]:
    """Measure every row's pictures at some moments.

    Args:
        rows: Label and frames of each.
        truth: The reference.
        moments: The judged moments to measure; all rows show them.
        landmarks: The truth's landmarks, [0, 1] of the picture, one per judged moment.

    Returns:
        For each label the scores per frame, in the order of `moments`.
    """
    unknown = np.full(len(moments), np.nan)
    collected: dict[str, PerFrame] = {label: {} for label, _ in rows}
    for place, moment in enumerate(moments):
        picture = _codes(truth.frame(moment))
        matte = truth.matte(moment) if truth.matte else None
        known = None if landmarks is None else landmarks[moment]
        judge = _FrameJudge(picture, region_masks(matte, known, truth.size))
        for label, shots in rows:
            for name, value in judge.scores(_codes(shots(moment))).items():
                collected[label].setdefault(name, unknown.copy())[place] = value
    return collected


def perceptual_scores(
    shots: Shots, truth: Truth, *, moments: Sequence[int], model: Lpips
) -> PerFrame:
    """Measure LPIPS of a row: the whole picture, and where known the person on grey."""
    found: PerFrame = {}
    unknown = np.full(len(moments), np.nan)
    for place, moment in enumerate(moments):
        own, other = _codes(shots(moment)), _codes(truth.frame(moment))
        pairs = {"full": (own, other)}
        if truth.matte is not None:
            person = matte_mask(truth.matte(moment))
            pairs["matte"] = (
                metrics.on_grey(own, person), metrics.on_grey(other, person)
            )  # fmt: skip
        for region, pair in pairs.items():
            values = found.setdefault(f"{region}/lpips", unknown.copy())
            values[place] = model.distance(*pair)
    return found


def identity_scores(
    shots: Shots, truth: Truth, *, moments: Sequence[int], model: Encoder
) -> PerFrame:
    """Measure how much a row's person is the truth's: cosine of their embeddings.

    Both are cut out by the truth's matte.
    """
    assert truth.matte is not None
    cosines = []
    for moment in moments:
        matte = truth.matte(moment)[..., None]
        pair = (shots(moment), truth.frame(moment))
        own, other = (embed(model, np.concatenate([p, matte], -1)) for p in pair)
        cosines.append(float(own @ other))
    return {"matte/identity": np.array(cosines)}


def landmark_scores(
    result: Track,
    truth: Track,
    *,
    fps: float,
    wave: np.ndarray | None,
    heard: np.ndarray | None,
) -> tuple[PerFrame, dict[str, float]]:
    """Compare a row's landmarks with the truth's.

    Args:
        result: The row's landmarks in pixels.
        truth: The truth's.
        fps: Frames per second of both.
        wave: The truth's sound, 16 kHz: tells where nothing is said.
        heard: The sound that goes with the row's pictures, 16 kHz.

    Returns:
        Scores per frame, and scores of the clip.
    """
    scale = points.face_scale(truth)
    gap = points.lip_gap(result, scale=scale)
    truth_gap = points.lip_gap(truth, scale=scale)
    lids = points.eye_opening(result).mean(axis=-1)
    truth_lids = points.eye_opening(truth).mean(axis=-1)
    frames = {
        "lips/lmd": points.lip_distance(result, truth, scale=scale),
        "lips/lmd_px": points.lip_distance_px(result, truth),
        "lips/gap": gap,
        "lips/gap_truth": truth_gap,
        "lips/gap_error": np.abs(gap - truth_gap),
        "eyes/opening": lids,
        "eyes/opening_truth": truth_lids,
        "eyes/opening_error": np.abs(lids - truth_lids),
    }
    clip = {
        "face/found": float(np.isfinite(result).all(axis=(1, 2)).mean()),
        "face/jitter": points.jitter(result, truth),
        "lips/closure_error": points.closure_error(gap, truth_gap),
        "lips/gap_correlation": _correlation(gap, truth_gap),
        "lips/gap_motion": _ratio(_spread(gap), _spread(truth_gap)),
    }
    clip["eyes/blink_rate"] = blinks.blink_rate(lids, fps=fps)
    clip["eyes/blink_error"] = blinks.blink_error(lids, truth_lids, fps=fps)
    if wave is not None:
        quiet = blinks.quiet_frames(wave, len(gap), fps=fps, rate=_RATE)
        clip["lips/silence_motion"] = blinks.silence_motion(gap, truth_gap, quiet)
    if heard is not None:
        offset = sound_offset(gap, heard, fps=fps, rate=_RATE)
        clip["sound/offset"] = offset.seconds
        clip["sound/confidence"] = offset.confidence
        if math.isfinite(offset.seconds):
            clip["sound/in_step"] = offset.in_step
        verdict = judge_sync(shipped_judge(), result, heard, fps=fps, scale=scale)
        if math.isfinite(verdict.offset):
            clip |= {f"judge/{name}": value for name, value in vars(verdict).items()}
    return frames, clip


def landmark_floor(found: Track, stored: Track) -> float:
    """Measure the landmark net's own error: LMD of the truth against stored points."""
    scale = points.face_scale(stored)
    return float(np.nanmean(points.lip_distance(found, stored, scale=scale)))


def summarise(frames: PerFrame, clip: Mapping[str, float]) -> dict[str, Score]:
    """Reduce scores per frame to mean and spread; add sharpness and clip scores."""
    summary = {}
    for name, values in frames.items():
        known = values[np.isfinite(values)]
        if name.endswith(("power", "power_truth")) or len(known) == 0:
            continue
        summary[name] = Score(
            float(known.mean()),
            float(known.std()),
            float(known.min()),
            float(known.max()),
            len(known),
        )
    for name, values in frames.items():
        if name.endswith("/power"):
            region = name.removesuffix("/power")
            truth = frames[f"{region}/power_truth"]
            known = np.isfinite(values) & np.isfinite(truth)
            value = _ratio(float(values[known].sum()), float(truth[known].sum()))
            if math.isfinite(value):
                summary[f"{region}/sharpness"] = _single(value, int(known.sum()))
    count = max((len(values) for values in frames.values()), default=0)
    for name, value in clip.items():
        if math.isfinite(value):
            summary[name] = _single(value, count)
    return summary


def averaged(parts: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    """Return the mean of the scores that all of some rows have."""
    common = [name for name in parts[0] if all(name in part for part in parts)]
    return {
        name: Score(
            *(
                float(np.mean([getattr(part[name], stat) for part in parts]))
                for stat in ("mean", "spread", "low", "high")
            ),
            frames=sum(part[name].frames for part in parts),
        )
        for name in common
    }


class _FrameJudge:
    """Scores pictures against one frame of the truth, whose share is computed once."""

    def __init__(self, truth: np.ndarray, masks: dict[str, np.ndarray]) -> None:
        self._truth = truth
        self._power = metrics.detail_power(truth)
        self._regions = {
            name: _Region(truth, mask, person=name == "matte", boxed=name in _BOXED)
            for name, mask in masks.items()
        }

    def scores(self, picture: np.ndarray) -> dict[str, float]:
        """Measure one picture in every region."""
        power = metrics.detail_power(picture)
        off = np.abs(picture - self._truth)
        found: dict[str, float] = {}
        for name, region in self._regions.items():
            error = metrics.masked_mean(off * off, region.mask)
            found[f"{name}/psnr"] = metrics.psnr_from_error(error)
            found[f"{name}/mae"] = metrics.masked_mean(off, region.mask)
            found[f"{name}/power"] = float(power[region.core].mean())
            found[f"{name}/power_truth"] = float(self._power[region.core].mean())
            for metric, value in region.structure(picture).items():
                found[f"{name}/{metric}"] = value
        return found


class _Region:
    """One region of one frame of the truth, ready for SSIM."""

    def __init__(
        self, truth: np.ndarray, mask: np.ndarray, *, person: bool, boxed: bool
    ) -> None:
        self.mask = mask
        self.core = shrink(mask) if person else mask
        self._window = _window(mask) if boxed else np.s_[:, :]
        self._grey = mask if person else None
        truth = self._seen(truth)
        whole = not boxed and min(truth.shape[:2]) >= structure.MS_SSIM_MIN_SIZE
        self._scales = 5 if whole else 1
        self._levels = structure.prepare(
            truth, mask=mask[self._window], scales=self._scales
        )

    def _seen(self, picture: np.ndarray) -> np.ndarray:
        """Cut to the region's surroundings; lay the person on grey."""
        if self._grey is not None:
            return metrics.on_grey(picture, self._grey)
        return picture[self._window]

    def structure(self, picture: np.ndarray) -> dict[str, float]:
        """Measure SSIM, and MS-SSIM where the picture is large enough."""
        one, five = structure.compare(self._seen(picture), self._levels)
        return {"ssim": one, "ms_ssim": five} if self._scales == 5 else {"ssim": one}


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns within five pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(rows[0] - 5, 0), rows[-1] + 6),
        slice(max(columns[0] - 5, 0), columns[-1] + 6),
    )


def _codes(frame: np.ndarray) -> np.ndarray:
    """Turn uint8 into float32 in [0, 1]."""
    return frame.astype(np.float32) / 255


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlate two signals over the frames both have; NaN when one is still."""
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 3 or min(first[known].std(), second[known].std()) == 0:
        return math.nan
    return float(np.corrcoef(first[known], second[known])[0, 1])


def _spread(values: np.ndarray) -> float:
    """Return the standard deviation of what is known; 0 when nothing is."""
    known = values[np.isfinite(values)]
    return float(known.std()) if len(known) else 0.0


def _ratio(value: float, truth: float) -> float:
    """Divide; NaN when the truth is zero."""
    return float(value / truth) if truth > 0 else math.nan


def _single(value: float, frames: int) -> Score:
    """Wrap the number of a whole clip."""
    return Score(value, 0.0, value, value, frames)
