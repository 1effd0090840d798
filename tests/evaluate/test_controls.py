"""Control rows show what they say they show."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from talk3d.audio import MelConfig, audio_windows, log_mel
from talk3d.dataset import Subject
from talk3d.evaluate import controls, metrics
from talk3d.evaluate.material import Truth, open_truth
from talk3d.evaluate.regions import mouth_box

from .subjects import SIZE, landmarks, openings, places, write_subject


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Truth:
    folder = tmp_path_factory.mktemp("controls")
    return open_truth(write_subject(folder / "subject"), folder)


def _codes(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.float32) / 255


def _psnr(first: np.ndarray, second: np.ndarray) -> float:
    return metrics.psnr(_codes(first), _codes(second))


def test_the_mean_frame_is_the_mean_of_the_training_frames(truth):
    subject = truth.subject
    mean = np.mean([subject.frame(k) for k in subject.train], axis=0)
    assert np.abs(controls.mean_frame(truth)(0) - mean).max() <= 0.5 + 1e-9


def test_re_encoding_costs_little_and_keeps_time(truth, tmp_path):
    row = controls.reencode(truth, tmp_path)
    for k in (0, truth.count - 1):
        assert 28 < _psnr(row(k), truth.frame(k)) < 100
        assert _psnr(row(k), truth.frame(k)) > _psnr(row(k), truth.frame((k + 6) % 10))


def test_the_blur_bar_has_no_detail_left(truth):
    row = controls.shrunk(truth)(0)
    assert row.shape == truth.frame(0).shape
    # 96 px to 64 px: above 2/3 of Nyquist nothing is left, the rest softened.
    sharp = metrics.sharpness(_codes(row), _codes(truth.frame(0)))
    assert 0.0 < sharp < 0.9


def test_the_nearest_frame_in_pose_stands_nearest(truth):
    frames = controls.training_frames(truth)
    pick = controls.nearest_by_pose(truth, frames)
    where = places(truth.total)[:, 0]
    own = np.abs(where[pick] - where[truth.first : truth.first + truth.count])
    best = np.abs(where[frames][None] - where[truth.first :][: truth.count, None])
    assert own == pytest.approx(best.min(axis=1), abs=1e-4)


def test_the_nearest_frame_in_sound_has_a_better_mouth(truth):
    frames = controls.training_frames(truth)
    opening = openings(truth.total)
    own = opening[truth.first : truth.first + truth.count]
    by_sound = np.abs(opening[controls.nearest_by_sound(truth, frames)] - own).mean()
    by_pose = np.abs(opening[controls.nearest_by_pose(truth, frames)] - own).mean()
    assert by_sound < by_pose


def test_the_nearest_frames_are_those_of_a_search_through_everything(truth):
    frames, subject = controls.training_frames(truth), truth.subject
    chosen = list(controls._STEADY + controls._BROWS)
    chosen += list(controls.LEFT_EYE + controls.RIGHT_EYE)
    moments = np.arange(truth.first, truth.first + truth.count)
    points = subject.arrays["landmarks"][:, chosen]
    square = ((points[frames][None] - points[moments][:, None]) ** 2).sum(axis=-1)
    pose = np.sqrt(square.mean(axis=-1))
    assert np.array_equal(
        controls.nearest_by_pose(truth, frames), frames[pose.argmin(axis=1)]
    )
    mel = log_mel(torch.from_numpy(subject.audio()), MelConfig(mels=20))
    times = torch.arange(truth.total).add(0.5).div(truth.fps).float()
    heard = audio_windows(mel, times, before=0.1, after=0.1).flatten(1).numpy()
    apart = ((heard[frames][None] - heard[moments][:, None]) ** 2).mean(axis=-1)
    far = pose > np.sort(pose, axis=1)[:, [round(0.1 * len(frames)) - 1]]
    best = np.where(far, np.inf, apart).argmin(axis=1)
    assert np.array_equal(controls.nearest_by_sound(truth, frames), frames[best])


def test_memory_does_not_grow_with_the_square_of_the_length(tmp_path):
    rng, total, train = np.random.default_rng(0), 2000, np.arange(1600)
    soundfile.write(tmp_path / "audio.wav", rng.normal(0, 0.1, total * 640), 16_000)
    points = rng.uniform(size=(total, 478, 2)).astype(np.float32)
    subject = Subject(tmp_path, {"fps": 25.0}, {"landmarks": points})
    unseen = np.zeros((8, 8, 3), np.uint8)
    truth = Truth(
        "long", lambda _: unseen, 400, (8, 8), 25.0, 1600, total, subject=subject
    )
    tracemalloc.start()
    try:
        controls.nearest_by_sound(truth, train)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # sound windows of all frames take 3 MB, those of all pairs would take 100 MB
    assert peak < 50e6


def test_a_frozen_mouth_stands_still_and_leaves_the_rest(truth):
    opening, place = openings(60), np.tile([[SIZE / 2, SIZE / 2]], (60, 1))
    track = landmarks(opening, place) * SIZE
    shots = np.stack([truth.frame(0)] * 60)
    rng = np.random.default_rng(0)
    for points, shot in zip(track, shots, strict=True):
        mouth_box(points / SIZE, (SIZE, SIZE)).cut(shot)[:] = rng.integers(0, 255)
    row = controls.frozen_mouth(
        shots=shots.__getitem__,
        track=track,
        source=shots.__getitem__,
        source_track=track,
    )
    inner = np.s_[SIZE // 2 + 16 : SIZE // 2 + 20, SIZE // 2 - 5 : SIZE // 2 + 5]
    frozen = np.stack([row(k)[inner] for k in range(60)]).astype(float)
    free = np.stack([shot[inner] for shot in shots]).astype(float)
    assert frozen.std(axis=0).max() < 0.05 * free.std(axis=0).min()
    assert np.array_equal(row(7)[:20], shots[7][:20])


def test_a_frozen_mouth_follows_the_head(truth):
    stored = truth.stored_landmarks * SIZE
    row = controls.frozen_mouth(
        shots=truth.frame, track=stored, source=truth.frame, source_track=stored
    )
    where = places(truth.total)[truth.first :, 0]
    left, right = int(where.argmin()), int(where.argmax())
    columns = []
    for k in (left, right):
        dark = 255.0 - row(k)[64:68, 28:68].mean(axis=(0, 2))
        dark = np.maximum(dark - dark.max() + 60, 0)
        columns.append((dark * np.arange(40)).sum() / dark.sum())
    moved = where[right] - where[left]
    assert columns[1] - columns[0] == pytest.approx(moved, abs=1.5)


def test_frames_without_a_face_are_left_alone(truth):
    stored = truth.stored_landmarks * SIZE
    lost = np.full_like(stored, np.nan)
    row = controls.frozen_mouth(
        shots=truth.frame, track=lost, source=truth.frame, source_track=stored
    )
    assert np.array_equal(row(3), truth.frame(3))
    with pytest.raises(ValueError, match="no mouth to freeze"):
        controls.frozen_mouth(
            shots=truth.frame, track=stored, source=truth.frame, source_track=lost
        )


def test_all_rows_have_names_and_the_truths_size(truth, tmp_path):
    rows = controls.truth_rows(truth, tmp_path) + controls.training_rows(truth)
    assert [label for label, _ in rows] == [
        "truth",
        "truth re-encoded",
        "truth at 64 px",
        "mean frame",
        "nearest frame (pose)",
        "nearest frame (sound)",
    ]
    assert all(shots(5).shape == (SIZE, SIZE, 3) for _, shots in rows)
