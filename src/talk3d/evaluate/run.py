"""Judge a result video against a subject's test part or another video.

In: files. Out: a `Report`, and in the folder `report.json`, `frames.npz` (every score
of every row per frame), `strips/` (mouths, eyes, whole frames), `player.mp4` (truth and
result side by side) and `report.html`, which holds all of it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talk3d.checkpoint import check_apart, check_own, clean_folder, write_atomically
from talk3d.evaluate import align, controls, material, scores
from talk3d.evaluate.align import Lag, Place
from talk3d.evaluate.controls import Row
from talk3d.evaluate.learned import LearnedScores, set_scores
from talk3d.evaluate.marks import mark_notes
from talk3d.evaluate.material import Shots
from talk3d.evaluate.page import write_page
from talk3d.evaluate.report import (
    DELIVERED,
    RESULT,
    TRUTH_ROWS,
    Report,
    as_json,
    bars,
)
from talk3d.evaluate.scores import PerFrame, Score, Track
from talk3d.evaluate.sheets import write_sheets
from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.trust.pictures import result_stamp, stamp_file

__all__ = ["EvaluateConfig", "evaluate"]

_WHAT = "a synthetic talking head beside its recording"
_PLAYER = "player.mp4"
_LANDMARKS = "landmarks (LMD, lip gap, jitter)"
_NO_NETS = (
    "the face networks were not found: talk3d create and talk3d preprocess fetch them"
)


@dataclass(frozen=True)
class EvaluateConfig:
    """What is judged, and with what."""

    part: str = "test"
    """Part of a subject: `test`, `train` or `all`."""
    controls: tuple[str, ...] = ("truth", "training", "frozen")
    """Groups of control rows to measure."""
    moments: int = 8
    """Columns of the strips."""
    face_models: Path | None = None
    """Folder with the face networks; None takes the cached ones."""
    offline: bool = True
    """Never fetch the face networks."""
    lpips: tuple[Path, Path] | None = None
    """The user's weights of AlexNet and of LPIPS; None leaves LPIPS out."""
    inception: Path | None = None
    """The user's weights of Inception (2015-12-05); None leaves FID and KID out."""
    syncnet: Path | None = None
    """The user's weights of SyncNet; None leaves its sync out."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        unknown = set(self.controls) - {"truth", "training", "frozen"}
        if unknown:
            raise ValueError(
                f"controls names {sorted(unknown)}; accepted are truth, training and "
                "frozen."
            )
        if self.moments < 1:
            raise ValueError(f"moments is {self.moments}; give at least 1.")


def evaluate(
    result: Path,
    reference: Path,
    out: Path,
    *,
    extras: Mapping[str, Sequence[Path]] | None = None,
    config: EvaluateConfig | None = None,
) -> Report:
    """Judge a result.

    Args:
        result: The video to judge: the judged part alone or the whole recording.
        reference: A subject folder, or a video.
        out: Folder to write to; made if absent.
        extras: More rows by label, each the mean of one or more videos placed in time
            like the result: `rolled audio` (5 shifts), `lips at rest`.
        config: What to measure.

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: The two cannot be compared; the message says why.
        OSError: The folder cannot be written, or too little disk space is left.
    """
    config = config or EvaluateConfig()
    others = [path for paths in (extras or {}).values() for path in paths]
    check_apart(out / _PLAYER, result, reference, *others)
    check_own(out / "report.html", out / "frames.npz")
    with (
        clean_folder(out),
        tempfile.TemporaryDirectory(prefix="talk3d-evaluate-") as folder,
    ):
        session = _Session(result, reference, Path(folder), config)
        session.add_extras(extras or {})
        session.add_controls()
        session.measure()
        report = session.report()
        session.write(report, out)
    return report


class _Session:
    """One evaluation: opened clips, rows, and what was measured so far."""

    def __init__(
        self, result: Path, reference: Path, scratch: Path, config: EvaluateConfig
    ) -> None:
        self._config, self._scratch = config, scratch
        self._notes: list[str] = []
        self._missing: dict[str, str] = {}
        self._nets = self._open_nets()
        self._learned = LearnedScores(config.lpips, config.inception, config.syncnet)
        truth = material.open_truth(reference, scratch, part=config.part)
        clip = material.decode(result, scratch / "result.rgb", fps=truth.fps)
        self._stamp = result_stamp(result, _WHAT)
        self._clip, self._whole = clip, truth
        counts = (clip.shape[0], truth.count, truth.total)
        place = align.find_place(
            clip.wave, truth.wave, counts=counts, first=truth.first, fps=truth.fps
        )
        self._lag = self._find_lag(place)
        self._place = place.moved(self._lag.removed)
        self._moments = self._common(self._place)
        self._truth = truth.part(self._moments)
        self._rows: list[Row] = [(RESULT, self._placed(clip, self._place))]
        if self._lag.removed:
            self._rows.append((DELIVERED, self._placed(clip, place)))
        self._sounds = {
            label: material.heard(clip, where, self._moments, fps=truth.fps)
            for label, where in ((RESULT, self._place), (DELIVERED, place))
        }
        self._groups: dict[str, list[str]] = {}
        self._landmarks: Track | None = None
        self._tracks: dict[str, Track] = {}
        self._frames: dict[str, PerFrame] = {}
        self._summary: dict[str, dict[str, Score]] = {}
        self._say_missing()
        self._notes += mark_notes(result, clip, fps=truth.fps)

    def _open_nets(self) -> FaceNets | None:
        config = self._config
        try:
            return FaceNets(model_files(config.face_models, offline=config.offline))
        except FileNotFoundError as error:
            self._missing[_LANDMARKS] = _NO_NETS if config.offline else str(error)
            return None

    def _placed(self, clip: material.Clip, place: Place) -> Shots:
        """Return the clip's frames at the judged moments; the ends repeat."""
        shots = material.placed(clip, place, self._whole)
        first, last = -place.start, place.count - 1 - place.start
        start = self._moments.start
        return lambda k: shots(min(max(k + start, first), last))

    def _common(self, place: Place) -> range:
        moments = place.common(self._whole.count)
        if len(moments) < 3:
            raise ValueError(
                f"{self._clip.name} ({place.count} frames) shows fewer than 3 of the "
                f"{self._whole.count} judged frames of {self._whole.name}; render the "
                "judged part, or the whole recording."
            )
        if len(moments) < self._whole.count:
            self._notes.append(
                f"The result shows {len(moments)} of the {self._whole.count} judged "
                "frames; only these were measured."
            )
        return moments

    def _find_lag(self, place: Place) -> Lag:
        """Compare the pictures over time."""
        moments = self._common(place)
        self._notes.clear()
        truth, side = self._whole, 48
        shots = material.placed(self._clip, place, truth)
        own = material.thumbnails((shots(k) for k in moments), side)
        other = material.thumbnails((truth.frame(k) for k in moments), side)
        lag = align.find_lag(own, other, fps=truth.fps)
        if lag.removed:
            self._notes.append(
                f"The result's pictures are {lag.seconds:+.3f} s late against the "
                f"reference; {lag.removed} frames were taken out before measuring. The "
                f"row {DELIVERED!r} has the numbers without that."
            )
        return lag

    def _say_missing(self) -> None:
        truth = self._truth
        self._notes += material.changes(self._clip, truth)
        self._missing |= self._learned.missing
        if truth.wave is None:
            self._missing["sound-to-lips offset"] = "the reference has no sound"
        if truth.subject is None:
            self._missing["mean and nearest training frame"] = (
                "the reference is a video without a training part"
            )
            self._missing["matte"] = "the reference is a video without a matte"

    def add_extras(self, extras: Mapping[str, Sequence[Path]]) -> None:
        """Add the caller's videos as rows."""
        for label, paths in extras.items():
            names = []
            for number, path in enumerate(paths):
                name = label if len(paths) == 1 else f"{label} {number + 1}"
                raw = self._scratch / f"extra-{len(self._rows)}.rgb"
                clip = material.decode(path, raw, fps=self._truth.fps)
                if clip.shape[0] < self._place.start + self._moments.stop:
                    self._notes.append(
                        f"{path.name} ({label}) is shorter than the result; its last "
                        "frame was repeated."
                    )
                place = dataclasses.replace(self._place, count=clip.shape[0])
                self._rows.append((name, self._placed(clip, place)))
                names.append(name)
            if len(names) > 1:
                self._groups[label] = names

    def add_controls(self) -> None:
        """Add the control rows, and find everyone's landmarks."""
        wanted, truth = self._config.controls, self._truth
        if "truth" in wanted:
            self._rows += controls.truth_rows(truth, self._scratch)
        if "training" in wanted:
            self._rows += controls.training_rows(truth)
        if self._nets is None:
            return
        self._track("truth", truth.frame)
        if not np.isfinite(self._tracks["truth"]).any():
            reason = "no face was found in the reference"
            self._missing[_LANDMARKS] = reason
            self._tracks.clear()
            return
        self._track(RESULT, self._rows[0][1])
        if "frozen" in wanted:
            self._add_frozen()
        for label, shots in self._rows:
            self._track(label, shots)

    def _track(self, label: str, shots: Shots) -> None:
        if self._nets is not None and label not in self._tracks:
            self._tracks[label] = scores.track(
                shots, self._truth.count, nets=self._nets
            )

    def _add_frozen(self) -> None:
        own, result = self._rows[0][1], self._tracks[RESULT]
        truth, track = self._truth, self._tracks["truth"]
        if np.isfinite(result).any():
            still = controls.frozen_mouth(
                shots=own, track=result, source=own, source_track=result
            )
            self._rows.append(("result, mouth frozen", still))
        if truth.subject is not None:
            subject, frames = truth.subject, controls.training_frames(truth)
            still = controls.frozen_mouth(
                shots=truth.frame,
                track=track,
                source=lambda k: subject.frame(int(frames[k])),
                source_track=subject.arrays["landmarks"][frames] * subject.size,
            )
            self._rows.append(("truth, mouth frozen", still))

    def measure(self) -> None:
        """Score all rows."""
        truth, track = self._truth, self._tracks.get("truth")
        stored = truth.stored_landmarks
        known = stored if stored is not None else _normalised(track, truth.size)
        if known is None:
            self._missing["mouth and eyes"] = "the reference has no landmarks"
        self._landmarks = known
        moments = range(truth.count)
        self._frames = scores.picture_scores(
            self._rows, truth, moments=moments, landmarks=known
        )
        features = self._learned.features(truth.frame, truth.count)
        for label, shots in self._rows:
            clip: dict[str, float] = {}
            self._frames[label] |= self._learned.frames(shots, truth, moments=moments)
            if track is not None:
                own, heard = self._tracks[label], self._heard(label)
                points, clip = scores.landmark_scores(
                    own, track, fps=truth.fps, wave=truth.wave, heard=heard
                )
                self._frames[label] |= points
                clip |= self._learned.sync(shots, own, heard, fps=truth.fps)
                if label == "truth" and stored is not None:
                    clip["lips/lmd_floor"] = scores.landmark_floor(
                        track, stored * truth.size[0]
                    )
            self._summary[label] = scores.summarise(self._frames[label], clip)
            self._summary[label] |= set_scores(
                self._learned.features(shots, truth.count), features
            )
        for label, names in self._groups.items():
            self._merge(label, names)

    def _heard(self, label: str) -> np.ndarray | None:
        """Return what a row's lips are compared with: a result's sound is its own."""
        truth, own = self._truth.wave, self._sounds.get(label)
        return truth if truth is None or own is None else own

    def _merge(self, label: str, names: list[str]) -> None:
        """Replace some rows by their mean."""
        parts = [self._summary.pop(name) for name in names]
        self._summary[label] = scores.averaged(parts)

    def report(self) -> Report:
        """Gather what was found."""
        truth = self._truth
        order = [label for label in self._summary if label not in TRUTH_ROWS]
        order += [label for label in TRUTH_ROWS if label in self._summary]
        rows = {label: self._summary[label] for label in order}
        return Report(
            result=self._clip.name,
            reference=truth.name,
            frames=truth.count,
            first=truth.first,
            fps=truth.fps,
            size=truth.size,
            place=self._place,
            lag=self._lag,
            rows=rows,
            bars=bars(rows),
            notes=self._notes,
            missing=self._missing,
        )

    def write(self, report: Report, out: Path) -> None:
        """Write report.json, frames.npz and the strips."""
        with write_atomically(out / "report.json") as path:
            path.write_text(as_json(report))
        arrays = {
            f"{label}/{name}": values
            for label, frames in self._frames.items()
            for name, values in frames.items()
        }
        with write_atomically(out / "frames.npz") as path, path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        sheets = {}
        if self._landmarks is not None:
            shown = [row for row in self._rows if row[0] not in ("truth", DELIVERED)]
            sheets = write_sheets(
                [("truth", self._truth.frame), *shown],
                self._truth,
                self._landmarks,
                folder=out / "strips",
                moments=self._config.moments,
            )
        for path in sheets.values():
            stamp_file(path, self._stamp)
        player = out / _PLAYER
        self._write_player(player)
        write_page(
            report,
            self._frames,
            strips=sheets,
            player=player,
            stamp=self._stamp,
            out=out / "report.html",
        )
        self._stamp.note(out / "report.html")

    def _write_player(self, path: Path) -> None:
        """Encode truth and result side by side with the result's sound."""
        truth, result = self._truth, self._rows[0][1]
        unsigned = self._scratch / "player.mp4"
        material.encode(
            unsigned,
            lambda k: self._stamp.mark(np.hstack([truth.frame(k), result(k)])),
            count=truth.count,
            fps=truth.fps,
            crf=18,
            wave=self._sounds[RESULT],
        )
        self._stamp.sign_movie(unsigned, path)


def _normalised(track: Track | None, size: tuple[int, int]) -> Track | None:
    return None if track is None else track / np.asarray(size, np.float32)
