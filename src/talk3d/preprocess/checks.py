"""Judge a recording: what is good about it, what is not, and what to do about it.

In: the first pass, the chosen span, the solved head and the sound. Out: findings, each
one sentence with its numbers, and a verdict.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import median_filter

from talk3d.preprocess.crop import Crop
from talk3d.preprocess.hearing import Hearing
from talk3d.preprocess.span import Span
from talk3d.preprocess.track import Recording
from talk3d.video import VideoInfo

__all__ = ["Finding", "covered_mouth", "inspect_picture", "inspect_sound", "verdict"]

FPS = 25.0
_LEAST_FACE, _GOOD_FACE = 90.0, 140.0
_LEAST_SPEECH = 15.0
_LATE = 0.06
_LEAST_TALK = 2.0
_CLIPPED = 0.1
_LIP_CONTRAST = 4.0
"""Lab units by which lips must differ from skin to judge by them."""
_LIP_LOST = 0.4
_MISSING = 0.02
"""Part of the asked length that may be missing at the end."""
_LEAST_MISSING = 0.2
"""Seconds; tracks of one file may end this far apart."""


@dataclass(frozen=True)
class Finding:
    """One statement about the recording."""

    topic: str
    """A word for tables."""
    level: Literal["good", "note", "warning"]
    """How much it matters."""
    text: str
    """The sentence."""
    value: float | None = None
    """The number behind it."""


def verdict(findings: list[Finding], seconds: float) -> str:
    """Return one sentence about the whole recording."""
    topics = [finding.topic for finding in findings if finding.level == "warning"]
    if not topics:
        return f"Good: {seconds:.1f} s of video that an avatar can be made from."
    return f"Usable, {seconds:.1f} s, but look at: {', '.join(topics)}."


def inspect_picture(
    recording: Recording, span: Span, crop: Crop, info: VideoInfo, asked: float
) -> list[Finding]:
    """Return what the pictures say.

    Args:
        recording: The first pass.
        span: The used part.
        crop: The square that is shown.
        info: What the video is.
        asked: Seconds of video that were to be read.
    """
    used = slice(span.first, span.last)
    return [
        _length(span, len(recording.light)),
        *_ending(len(recording.light) / FPS, asked),
        *_shots(span),
        *_faces(span),
        _missing(span),
        _resolution(span, info),
        _sharpness(recording.sharpness[used]),
        _light(recording.light[used], recording.clipped[used]),
        _standing(recording.drift[used]),
        _hidden(covered_mouth(recording.lips[used])),
        _framing(crop, info),
    ]


def _length(span: Span, total: int) -> Finding:
    seconds = (span.last - span.first) / FPS
    text = f"{seconds:.1f} s of {total / FPS:.1f} s are used."
    if seconds < 10:
        text += " Twenty seconds or more make a better avatar."
    return Finding("length", "warning" if seconds < 10 else "good", text, seconds)


def _ending(read: float, asked: float) -> list[Finding]:
    if asked - read <= max(_MISSING * asked, _LEAST_MISSING):
        return []
    text = (
        f"The pictures end after {read:.1f} s of {asked:.1f} s: the rest of the file is"
        " missing or damaged."
    )
    return [Finding("ending", "warning", text, asked - read)]


def _shots(span: Span) -> list[Finding]:
    if not span.cuts:
        return []
    times = ", ".join(f"{cut / FPS:.1f}" for cut in span.cuts[:8])
    text = (
        f"The video has {len(span.cuts)} cuts (at {times} s); the longest part, from "
        f"{span.first / FPS:.1f} s to {span.last / FPS:.1f} s, is used."
    )
    return [Finding("cuts", "warning", text, float(len(span.cuts)))]


def _faces(span: Span) -> list[Finding]:
    if span.faces == 1:
        return []
    which = "the largest" if span.face == 0 else f"number {span.face} by size"
    text = f"The video shows {span.faces} faces; {which} is used (--face chooses)."
    return [Finding("several faces", "warning", text, float(span.faces))]


def _missing(span: Span) -> Finding:
    lost = int((~span.valid).sum())
    if not lost:
        return Finding("face", "good", "The face is seen in every frame.", 0.0)
    text = f"The face is not seen in {lost} frames ({lost / FPS:.1f} s)."
    many = lost > 0.05 * len(span.valid)
    return Finding("face", "warning" if many else "note", text, float(lost))


def _resolution(span: Span, info: VideoInfo) -> Finding:
    points = span.landmarks
    width = float(np.median(np.linalg.norm(points[:, 454] - points[:, 234], axis=-1)))
    text = f"The face is {width:.0f} pixels wide in {info.width} x {info.height}."
    if width < _LEAST_FACE:
        return Finding("size", "warning", text + " Come nearer to the camera.", width)
    return Finding("size", "good" if width >= _GOOD_FACE else "note", text, width)


def _sharpness(sharpness: Float[np.ndarray, " frames"]) -> Finding:
    usual = float(np.nanmedian(sharpness))
    blurred = float(np.nanmean(sharpness < 0.6 * usual))
    if usual < 0.12:
        text = "The face is out of focus or strongly compressed."
        return Finding("sharpness", "warning", text, usual)
    if blurred > 0.1:
        text = f"{100 * blurred:.0f} % of the frames are blurred by motion."
        return Finding("sharpness", "warning", text, blurred)
    return Finding("sharpness", "good", "The face is sharp.", usual)


def _light(
    light: Float[np.ndarray, " frames"], clipped: Float[np.ndarray, " frames"]
) -> Finding:
    level, cut = float(np.nanmedian(light)), float(np.nanmedian(clipped))
    sway = float(np.nanstd(light)) / max(level, 1e-3)
    if level < 0.15:
        return Finding("light", "warning", "The face is dark: add light.", level)
    if cut > 0.1:
        text = (
            f"{100 * cut:.0f} % of the face is plain white or black: soften the light."
        )
        return Finding("light", "warning", text, cut)
    if sway > 0.15:
        text = "The light on the face changes: record in steady light."
        return Finding("light", "warning", text, sway)
    return Finding("light", "good", "The light on the face is even and steady.", level)


def _standing(drift: Float[np.ndarray, "frames 2"]) -> Finding:
    known = np.isfinite(drift[:, 0])
    if known.mean() < 0.5:
        text = "The background is too plain to tell whether the camera stands still."
        return Finding("camera", "note", text)
    path = np.cumsum(np.where(known[:, None], drift, 0.0), axis=0)
    reach = float(np.ptp(path, axis=0).max())
    if reach > 0.02:
        text = f"The camera moves (by {100 * reach:.1f} % of the width): use a stand."
        return Finding("camera", "warning", text, reach)
    return Finding("camera", "good", "The camera stands still.", reach)


def covered_mouth(
    lips: Float[np.ndarray, "frames 3"],
) -> Bool[np.ndarray, " frames"]:
    """Return the frames in which something hides the mouth.

    Lips differ from the skin around them in a way that is this person's own. Where
    that difference is gone for a while, a hand or the like lies over them.

    Args:
        lips: Lab colour of the lips against the skin around them.
    """
    known = np.asarray(np.isfinite(lips).all(-1))
    if not known.any():
        return known
    usual = np.median(lips[known], axis=0)
    size = float(usual @ usual)
    if size < _LIP_CONTRAST**2:
        return np.zeros_like(known)
    alike = np.where(known, np.nan_to_num(lips) @ usual / size, 1.0)
    hidden = median_filter(alike, 5, mode="nearest") < _LIP_LOST
    return np.asarray(hidden & known)


def _hidden(hidden: Bool[np.ndarray, " frames"]) -> Finding:
    count = int(hidden.sum())
    if count < 5:
        return Finding("mouth", "good", "Nothing hides the mouth.", 0.0)
    at = int(np.nonzero(hidden)[0][0]) / FPS
    text = f"Something hides the mouth for {count / FPS:.1f} s, first at {at:.1f} s."
    return Finding("mouth", "warning", text, count / FPS)


def _framing(crop: Crop, info: VideoInfo) -> Finding:
    outside = crop.outside(info.width, info.height)
    if outside < 0.005:
        return Finding("framing", "good", "The head fits into the picture.", outside)
    text = (
        f"{100 * outside:.0f} % of the crop lies outside the picture and is filled "
        "with its edge: leave room around the head."
    )
    return Finding("framing", "warning" if outside > 0.1 else "note", text, outside)


def inspect_sound(hearing: Hearing | None) -> list[Finding]:
    """Return what the sound says."""
    if hearing is None:
        text = "There is no sound track: the avatar cannot learn to speak from it."
        return [Finding("sound", "warning", text)]
    findings = []
    seconds = hearing.speech
    findings.append(_speech(seconds))
    if hearing.gap_db < 15 and seconds > 1:
        text = f"Noise lies only {hearing.gap_db:.0f} dB below the speech."
        findings.append(Finding("noise", "warning", text, hearing.gap_db))
    if hearing.clipped > _CLIPPED:
        text = (
            "The sound is clipped (its loud parts are cut off): record again with less"
            " gain."
        )
        findings.append(Finding("clipping", "warning", text, hearing.clipped))
    if hearing.music > 0.3:
        text = "Steady tones run through the sound: there seems to be music."
        findings.append(Finding("music", "warning", text, hearing.music))
    if hearing.elsewhere > 2.0:
        text = (
            f"For {hearing.elsewhere:.1f} s a voice is heard while the lips rest: "
            "someone else may be speaking."
        )
        findings.append(Finding("other voice", "warning", text, hearing.elsewhere))
    findings.append(_timing(hearing))
    return findings


def _speech(seconds: float) -> Finding:
    if seconds < 0.5:
        text = (
            "No speech is heard: the avatar cannot learn to speak from silence, record"
            " someone who talks."
        )
        return Finding("speech", "warning", text, seconds)
    text = f"Speech is heard for {seconds:.1f} s."
    level = "good" if seconds >= _LEAST_SPEECH else "warning"
    return Finding("speech", level, text, seconds)


def _timing(hearing: Hearing) -> Finding:
    offset = hearing.offset
    if not offset.sure or hearing.speech < _LEAST_TALK:
        text = "Whether sound and lips fit in time cannot be told."
        return Finding("timing", "note", text)
    if hearing.corrected:
        text = f"The sound came {offset.seconds:+.2f} s late; this was corrected."
        return Finding("timing", "note", text, offset.seconds)
    if abs(offset.seconds) < _LATE:
        text = f"Sound and lips fit ({offset.seconds:+.2f} s)."
        return Finding("timing", "good", text, offset.seconds)
    side = "late" if offset.seconds > 0 else "early"
    text = (
        f"The sound comes {abs(offset.seconds):.2f} s {side}: --fix-sync corrects it."
    )
    return Finding("timing", "warning", text, offset.seconds)
