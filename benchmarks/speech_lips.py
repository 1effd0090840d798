"""How well sound alone tells a person's lips: no picture is rendered.

    python benchmarks/speech_lips.py SUBJECT...

fits on the training part of each subject, tells the lips of the test part, and prints
the rows for docs/results.md: LMD in the head frame (40 points, centred, percent of the
distance of the outer eye corners), explained variance, correlation of gap and width,
and the deviation of the lips over the true one. `--speech-model FOLDER` adds the row of
a wav2vec 2.0 or HuBERT model that listens, too.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch

from talk3d.audio import MelConfig, audio_windows, log_mel
from talk3d.dataset import Subject
from talk3d.lips import LIP_POINTS, common_lips, lip_rim, seen_lips
from talk3d.speech_model import SpeechModel, load_speech_model
from talk3d.voice import fit_voice

ROLLS = (1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6)
UPPER = [LIP_POINTS.index(k) for k in (81, 82, 13, 312, 311)]
LOWER = [LIP_POINTS.index(k) for k in (178, 87, 14, 317, 402)]
CORNERS = [LIP_POINTS.index(k) for k in (61, 291)]
RIDGES = 10.0 ** np.arange(-1, 6.1, 0.5)
FOLDS, GAP = 4, 12


def main() -> None:
    """Print a table per subject."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", nargs="+", type=Path)
    parser.add_argument("--late", type=float, default=0.0, help="sound, seconds")
    parser.add_argument("--speech-model", help="a folder, or an id on the hub")
    options = parser.parse_args()
    name = options.speech_model
    model = None if name is None else load_speech_model(name)
    torch.set_num_threads(1)
    for path in options.subjects:
        print(f"\n{path.name}\n{'':28} LMD %     R2    gap  width motion")
        run(Subject.open(path), options.late, model)


def run(subject: Subject, late: float, model: SpeechModel | None) -> None:
    """Print the rows of a subject."""
    lips = seen_lips(subject)
    train, test = (np.array(part) for part in (subject.train, subject.test))
    times = (np.arange(subject.frames) + 0.5) / subject.fps + late
    wave = subject.audio()
    truth, mean = lips[test], lips[train].mean(0)
    show("frozen (mean)", np.tile(mean, (len(test), 1)), truth, mean)
    median = np.median(lips[train], axis=0)
    show("frozen (median)", np.tile(median, (len(test), 1)), truth, mean)
    mels = log_mel(torch.from_numpy(wave), MelConfig())
    wide, near = (windows(mels, times, reach) for reach in (0.3, 0.1))
    distance = ((near[test][:, None] - near[train][None]) ** 2).sum(-1)
    show("nearest frame by sound", lips[train][distance.argmin(1)], truth, mean)
    for label, kernel in (("log-mel ridge", linear), ("log-mel kernel ridge", radial)):
        show(label, ridge(wide, lips, (train, test), kernel), truth, mean)
    own, _ = fit_voice(wave, times[train], lips[train])
    show("the own sound alone", own.lips(wave, times[test]).numpy(), truth, mean)
    common, rim = common_lips(), lip_rim()
    free, _ = fit_voice(wave, times[train], lips[train], common=common)
    show("no sound shuts the lips", free.lips(wave, times[test]).numpy(), truth, mean)
    if model is not None:
        aided, _ = fit_voice(
            wave, times[train], lips[train], common=common, rim=rim, model=model
        )
        show("and a speech model", aided.lips(wave, times[test]).numpy(), truth, mean)
    voice, _ = fit_voice(wave, times[train], lips[train], common=common, rim=rim)
    told = voice.lips(wave, times[test]).numpy()
    show("talk3d.voice", told, truth, mean)
    rolled = [np.roll(told, round(part * len(test)), 0) for part in ROLLS]
    rows = [numbers(row, truth, mean) for row in rolled]
    print(f"{'  the same, sound rolled':26}", *(f"{n:6.2f}" for n in np.mean(rows, 0)))
    for rank in (1, 2, 3):
        _, _, basis = np.linalg.svd(lips[train] - mean, full_matrices=False)
        best = (truth - mean) @ basis[:rank].T @ basis[:rank] + mean
        show(f"ceiling: best of rank {rank}", best, truth, mean)
    shuts = bool(voice.part.any())
    print(f"delay {float(voice.delay):+.2f} s, shut by p, b, m: {shuts}")


def show(label: str, told: np.ndarray, truth: np.ndarray, mean: np.ndarray) -> None:
    """Print one row."""
    cells = [f"{number:6.2f}" for number in numbers(told, truth, mean)]
    print(f"{label:26}", *cells)


def numbers(told: np.ndarray, truth: np.ndarray, mean: np.ndarray) -> list[float]:
    """Return LMD, explained variance, correlation of gap and width, motion."""
    lmd = np.linalg.norm(points(told - truth), axis=-1).mean()
    explained = 1 - ((told - truth) ** 2).sum() / ((truth - mean) ** 2).sum()
    pairs = [(measure(told), measure(truth)) for measure in (gap, width)]
    together = [
        np.corrcoef(a, b)[0, 1] if a.std() > 1e-3 else float("nan") for a, b in pairs
    ]
    motion = told.std(0).mean() / truth.std(0).mean()
    return [float(lmd), float(explained), *map(float, together), float(motion)]


def points(shapes: np.ndarray) -> np.ndarray:
    """Return frames x 40 x 2."""
    return shapes.reshape(len(shapes), -1, 2)


def gap(shapes: np.ndarray) -> np.ndarray:
    """Return how far the inner lips are apart."""
    return (points(shapes)[:, UPPER, 1] - points(shapes)[:, LOWER, 1]).mean(1)


def width(shapes: np.ndarray) -> np.ndarray:
    """Return the distance of the corners of the mouth."""
    first, second = (points(shapes)[:, corner] for corner in CORNERS)
    return np.linalg.norm(first - second, axis=-1)


def windows(mels: torch.Tensor, times: np.ndarray, reach: float) -> np.ndarray:
    """Return the sound around each moment, every fourth frame of it."""
    moments = torch.from_numpy(times)
    cut = audio_windows(mels, moments, before=reach, after=reach)
    return cut[:, ::4].flatten(1).double().numpy()


def linear(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the inner products."""
    return rows @ others.T / rows.shape[1]


def radial(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return a bell of the distances."""
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    return np.exp(-0.3 * squares / rows.shape[1])


def ridge(features: np.ndarray, lips: np.ndarray, parts: tuple, kernel) -> np.ndarray:  # noqa: ANN001
    """Tell the test part, the ridge chosen by cross-validation."""
    train, test = parts
    spread = features[train].std(0) + 1e-3 * features[train].std() + 1e-8
    scaled = (features - features[train].mean(0)) / spread
    rows, shapes = scaled[train], lips[train].astype(np.float64)
    inner = kernel(rows, rows)
    errors = np.zeros(len(RIDGES))
    edges = np.linspace(0, len(rows), FOLDS + 1).astype(int)
    index = np.arange(len(rows))
    for first, last in itertools.pairwise(edges):
        used = (index < first - GAP) | (index >= last + GAP)
        told = solve(inner[np.ix_(used, used)], shapes[used], inner[first:last, used])
        errors += ((told - shapes[first:last]) ** 2).sum((1, 2))
    return solve(inner, shapes, kernel(scaled[test], rows))[errors.argmin()]


def solve(inner: np.ndarray, shapes: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Return what each ridge tells."""
    values, vectors = np.linalg.eigh(inner)
    mean = shapes.mean(0)
    turned, seen = vectors.T @ (shapes - mean), outer @ vectors
    return np.stack([seen @ (turned / (values + r)[:, None]) + mean for r in RIDGES])


if __name__ == "__main__":
    main()
