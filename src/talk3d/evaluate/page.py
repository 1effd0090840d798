"""Write an evaluation as one HTML page that opens offline.

In: the report, scores per frame, strips, and a video that shows truth (left) and result
(right). Out: one file; nothing in it points outside. A player video above 16 MB stays
beside the page as `player.mp4`.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from talk3d.evaluate.report import DELIVERED, TRUTH_ROWS, Report, as_json
from talk3d.evaluate.scores import PerFrame
from talk3d.trust.pictures import Stamp

__all__ = ["METRICS", "Metric", "write_page"]

_EMBED_BYTES = 16_000_000
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Metric:
    """How a score is shown."""

    title: str
    """In a sentence."""
    short: str
    """As a column head."""
    better: str
    """`higher`, `lower`, `one` (near 1) or `none`."""
    digits: int
    """Digits after the point."""


def _pictures(region: str, where: str) -> dict[str, Metric]:
    """Describe the picture scores of one region."""
    return {
        f"{region}/psnr": Metric(f"PSNR {where}, dB", "PSNR", "higher", 2),
        f"{region}/mae": Metric(f"mean error {where}, 0..1", "MAE", "lower", 4),
        f"{region}/ssim": Metric(f"SSIM {where}", "SSIM", "higher", 3),
        f"{region}/ms_ssim": Metric(f"MS-SSIM {where}", "MS-SSIM", "higher", 3),
        f"{region}/lpips": Metric(f"LPIPS {where}", "LPIPS", "lower", 3),
        f"{region}/sharpness": Metric(f"sharpness {where}", "sharp", "one", 2),
    }


METRICS: Mapping[str, Metric] = {
    **_pictures("matte", "of the person"),
    "matte/identity": Metric("identity, cosine", "same", "higher", 3),
    "lips/lmd": Metric("lip landmark distance, %", "LMD %", "lower", 2),
    "lips/lmd_px": Metric("lip landmark distance, pixels", "LMD px", "lower", 2),
    "lips/gap": Metric("lip gap, eye distances", "gap", "none", 3),
    "lips/gap_error": Metric("lip gap error", "gap err", "lower", 4),
    "lips/gap_correlation": Metric("lip gap correlation", "gap corr", "higher", 2),
    "lips/gap_motion": Metric("lip gap motion ÷ truth's", "motion", "one", 2),
    "lips/closure_error": Metric("closure error, share", "closure", "lower", 3),
    **_pictures("mouth", "of the mouth"),
    **_pictures("eyes", "of the eyes"),
    "eyes/opening": Metric("eye opening, eye widths", "opening", "none", 3),
    "eyes/blink_rate": Metric("blinks per minute", "blinks", "none", 1),
    "eyes/blink_error": Metric("blinks without a partner", "blink err", "lower", 2),
    "lips/silence_motion": Metric(
        "lip motion in pauses ÷ truth's", "quiet", "lower", 2
    ),
    "eyes/opening_error": Metric("eye opening error", "lid err", "lower", 3),
    "face/jitter": Metric("jitter ÷ truth's", "jitter", "lower", 2),
    "face/found": Metric("share of frames with a face", "found", "higher", 2),
    "sound/offset": Metric("sound late by, s", "late s", "none", 3),
    "sound/confidence": Metric("confidence of that", "conf", "none", 2),
    "sound/in_step": Metric("lips in step with the sound", "step", "higher", 2),
    "judge/offset": Metric("sound late by, s, says the judge", "judge s", "none", 3),
    "judge/confidence": Metric("confidence of the judge", "judge", "higher", 2),
    "judge/in_step": Metric("in step, says the judge", "judge step", "higher", 2),
    "syncnet/offset": Metric("sound late by, s, says SyncNet", "SyncNet s", "none", 3),
    "syncnet/confidence": Metric("SyncNet's confidence", "LSE-C", "higher", 2),
    "syncnet/distance": Metric("SyncNet's distance", "LSE-D", "lower", 2),
    "lips/lmd_floor": Metric("landmark net's own error, %", "floor %", "none", 2),
    **_pictures("full", "of the whole picture"),
    "full/fid": Metric("FID of the whole pictures", "FID", "lower", 1),
    "full/kid": Metric("KID of the whole pictures", "KID", "lower", 4),
}
"""All scores by name, in the order of the table."""

_PLOTS = (
    {"name": "lips/gap", "truth": "lips/gap_truth", "title": "Lip gap", "zero": True},
    {"name": "lips/lmd", "title": "Lip landmark distance, %", "zero": True},
    {"name": "mouth/mae", "title": "Mean error of the mouth", "zero": True},
    {"name": "matte/psnr", "title": "PSNR of the person, dB", "zero": False},
    {"name": "full/psnr", "title": "PSNR of the whole picture, dB", "zero": False},
    {
        "name": "eyes/opening",
        "truth": "eyes/opening_truth",
        "title": "Eye opening",
        "zero": True,
    },
)
_HIDDEN = (
    "lips/gap",
    "lips/lmd_px",
    "lips/lmd_floor",
    "eyes/opening",
    "full/mae",
    "matte/mae",
)

_GLOSSARY = {
    "matte, full": "inside the recorded person (matte above one half; the headline); "
    "the whole picture. Pixels outside a region never count.",
    "mouth, eyes": "boxes around the truth's outer lips and lids, each 30 % wider.",
    "PSNR": "10 log10(1 / mean square error) in dB, of each frame, then the mean.",
    "SSIM, MS-SSIM": "structural similarity, at one and at five scales; 1 is equal.",
    "sharpness": "power above a quarter of the Nyquist frequency, divided by the "
    "truth's. Blur lowers it, noise raises it.",
    "FID, KID": "distance of all frames of a row from all of the truth's, by an "
    "Inception network's features; with few frames FID is large whatever they show.",
    "LMD": "mean distance of 40 lip points to the truth's after both are centred, in "
    "percent of the distance between the outer corners of the eyes.",
    "gap, closure": "distance of the inner lips; share of frames where only one of the "
    "two mouths is shut.",
    "jitter": "mean second difference of the landmarks over time, divided by the "
    "truth's.",
    "blinks": "per minute; err: share of blinks of either clip without one of the "
    "other within 0.2 s.",
    "quiet": "how fast the lips move in pauses of the sound, divided by the truth's.",
    "sound": "by how many seconds the sound comes after the lips; read it only where "
    "its confidence is above 0.4. step: by how much lips and sound as they are go "
    "together better than 0.15 s or more apart; our own measure, not SyncNet.",
    "nearest frame": "the training frame most alike in pose and blink; (sound): of the "
    "tenth most alike, the one with the most similar sound.",
    "mouth frozen": "the same frames with the mean mouth pasted in.",
    "lips at rest": "the avatar, its lips held still.",
}


def write_page(
    report: Report,
    frames: Mapping[str, PerFrame],
    *,
    strips: Mapping[str, Path],
    player: Path,
    stamp: Stamp,
    out: Path,
) -> None:
    """Write the page.

    Args:
        report: What was found.
        frames: Scores per frame by row.
        strips: Sheets (PNG) by title.
        player: Video of truth and result side by side, in the folder of `out`.
        stamp: What its pictures are signed with.
        out: The HTML file.
    """
    names = {plot["name"] for plot in _PLOTS} | {plot.get("truth") for plot in _PLOTS}
    data = {
        "report": json.loads(as_json(report)),
        "series": {
            label: {
                name: _rounded(values) for name, values in row.items() if name in names
            }
            for label, row in frames.items()
        },
        "metrics": {name: vars(metric) for name, metric in METRICS.items()},
        "columns": [name for name in METRICS if name not in _HIDDEN],
        "unshaded": (DELIVERED, *TRUTH_ROWS),
        "plots": _PLOTS,
        "jumps": _jumps(frames["result"]),
        "strips": [
            {"title": title, "source": _picture(path, stamp)}
            for title, path in strips.items()
        ],
        "glossary": _GLOSSARY,
    }
    template = resources.files("talk3d.evaluate").joinpath("page.html").read_text()
    title = html.escape(f"{report.result} against {report.reference}")
    # "</" inside a script element would end it.
    text = json.dumps(data, allow_nan=False).replace("</", "<\\/")
    page = template.replace("{{TITLE}}", title).replace("{{VIDEO}}", _video(player))
    out.write_text(page.replace("{{DATA}}", text), encoding="utf-8")


def _jumps(scores: PerFrame) -> list[dict[str, object]]:
    """Find the worst and best mouth and the worst picture."""
    found: list[dict[str, object]] = []
    mouth = "lips/lmd" if "lips/lmd" in scores else "mouth/mae"
    whole = "matte/psnr" if "matte/psnr" in scores else "full/psnr"
    for title, name, sign in (
        ("Worst mouth", mouth, -1),
        ("Best mouth", mouth, 1),
        ("Worst picture", whole, 1),
        ("Best picture", whole, -1),
    ):
        values = scores.get(name)
        if values is not None and np.isfinite(values).any():
            ranked = np.where(np.isfinite(values), sign * values, np.inf)
            found.append({"title": title, "frame": int(ranked.argmin())})
    return found


def _rounded(values: np.ndarray) -> list[float | None]:
    """Keep five digits; None for what is unknown."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]


def _picture(path: Path, stamp: Stamp) -> str:
    """Embed a marked picture as signed JPEG."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return _embedded("image/jpeg", stamp.sign(buffer.getvalue(), ".jpg"))


def _video(path: Path) -> str:
    """Embed a video, or name the file beside the page when it is large."""
    if path.stat().st_size > _EMBED_BYTES:
        return path.name
    return _embedded("video/mp4", path.read_bytes())


def _embedded(kind: str, content: bytes) -> str:
    """Write a data address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
