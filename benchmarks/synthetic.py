"""Measure the synthetic people: one row of docs/results.md per command.

    python benchmarks/synthetic.py ROW [--head FILE] [-o FOLDER]

ROW is one of determinism, depth, network, lips, sync, cost, corpus, tracking, count,
strip. Every row prints its figures; only ``tracking``, ``corpus`` and ``strip`` write.
"""

import argparse
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from synthetic_tracking import compare
from talk3d.camera import camera_rays, orbit_label, project
from talk3d.dataset import Subject
from talk3d.face import FaceNets, FaceTracker, load_face_shape
from talk3d.face_models import model_files
from talk3d.preprocess.run import preprocess
from talk3d.slide import view_slide
from talk3d.synthetic.articulation import articulate, split_phonemes
from talk3d.synthetic.builtin import open_head
from talk3d.synthetic.corpus import CorpusConfig, draw_camera, write_corpus
from talk3d.synthetic.expressions import draw_expression, draw_gaze
from talk3d.synthetic.head import LIPS_LOWER, LIPS_UPPER, PARTS, HeadModel, to_world
from talk3d.synthetic.landmarks import landmark_points
from talk3d.synthetic.light import draw_light, studio_light
from talk3d.synthetic.people import (
    draw_person_looks,
    make_person,
    neutral_pose,
    pose_person,
)
from talk3d.synthetic.plates import draw_plate
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.sentences import SENTENCES, VOICES
from talk3d.synthetic.sheet import count_people, talk_strip
from talk3d.synthetic.skull import skin_surface
from talk3d.synthetic.speech import Phoneme, speak_text
from talk3d.synthetic.talking import TalkConfig, compose, visible_points, write_talk
from talk3d.synthetic.view import Picture, Pose

AHEAD = np.zeros(4, np.float32)
FRESH = 5000
"""First seed of people on whom nothing was tuned or measured before."""
CM = 40.0
OTHER_CPU = {
    "LP_NATIVE_VECTOR_WIDTH": "128",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX"
    " AVX512_CNL AVX512_ICL AVX512_SPR",
}
"""Narrow vectors in the rasteriser and in numpy: what an older CPU does."""


def bare_people(count: int) -> Iterator[int]:
    """Yield fresh seeds of people without beard, fringe or glasses."""
    seed = FRESH
    while count:
        looks = draw_person_looks(seed)
        hair = looks.hair.style in ("bald", "buzz", "short", "slick", "tied")
        if hair and looks.hair.beard == "none" and not looks.clothes.glasses:
            yield seed
            count -= 1
        seed += 1


def picture_of(seed: int, head: HeadModel) -> tuple[Picture, np.ndarray]:
    """Render a fresh person at 256 px with everything drawn."""
    generator = np.random.default_rng([seed, 60])
    with Renderer(head, size=256) as renderer:
        person = make_person(skin_surface(head), seed)
        renderer.load(person)
        pose = Pose(draw_expression(generator), draw_gaze(generator), np.eye(3))
        label = draw_camera(generator)
        picture = renderer.render(pose, label, draw_light(generator))
    vertices = pose_person(head, person, pose.expression, pose.gaze)
    points = to_world(landmark_points(head).on(vertices).astype(np.float32))
    return picture, np.concatenate([label, points.ravel()])


def dump(head: HeadModel, out: Path) -> None:
    """Write four people for ``determinism``."""
    shown = [picture_of(FRESH + k, head) for k in range(4)]
    np.savez(
        out,
        image=np.stack([picture.image for picture, _ in shown]),
        distance=np.stack([picture.distance for picture, _ in shown]),
        labels=np.stack([labels for _, labels in shown]),
    )


def determinism(options: argparse.Namespace) -> None:
    """The same seeds again, and with the vector units of an older CPU."""
    command = [sys.executable, __file__, "dump", "--head", str(options.head), "-o"]
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{k}.npz" for k in ("one", "two", "other")]
        for file, extra in zip(files, ({}, {}, OTHER_CPU), strict=True):
            subprocess.run(  # noqa: S603
                [*command, str(file)], check=True, env=os.environ | extra
            )
        one, two, other = (dict(np.load(file)) for file in files)
    same = all((one[name] == two[name]).all() for name in one)
    apart = np.abs(one["image"].astype(int) - other["image"])
    far = np.abs(one["labels"] - other["labels"]).max()
    print(f"again: {'same bytes' if same else 'DIFFERENT'}")
    print(f"narrow vectors: labels {far:.1e}, worst pixel {apart.max()} levels,")
    print(f"  more than 1 level: {100 * (apart > 1).mean():.4f} % of values")


def depth(options: argparse.Namespace) -> None:
    """Projected 3D landmarks against the depth buffer, along the surface's normal."""
    head = open_head(options.head)
    surface, points = skin_surface(head), landmark_points(head)
    errors = []
    with Renderer(head, size=256) as renderer:
        for seed in bare_people(options.people or 20):
            person = make_person(surface, seed)
            renderer.load(person)
            generator = np.random.default_rng([seed, 61])
            pose = Pose(draw_expression(generator), AHEAD, np.eye(3))
            label = orbit_label(generator.uniform(-1, 1), generator.uniform(-0.2, 0.2))
            picture = renderer.render(pose, label.numpy(), studio_light())
            vertices = pose_person(head, person, pose.expression, AHEAD)
            world = to_world(points.on(vertices).astype(np.float32))
            seen = visible_points(world, picture, label.numpy()) > 0
            column, row = (project(torch.tensor(world[seen]), label)[0] * 256).int().T
            origin, way = camera_rays(label[None], 256)
            index = row * 256 + column
            shown = picture.distance[row, column][:, None]
            hit = origin[0, index] + way[0, index] * torch.tensor(shown)
            normals = points.normals(vertices)[seen]
            off = ((hit.numpy() - world[seen]) * normals).sum(1)
            errors.append(np.abs(off) * CM * 10)
    every = np.concatenate(errors)
    print(f"{len(errors)} people, {len(every)} visible points:", end=" ")
    print(f"median {np.median(every):.3f} mm, 95 % {np.percentile(every, 95):.2f} mm")


def network(options: argparse.Namespace) -> None:
    """The landmark network on other people against our points, by yaw."""
    head = open_head(options.head)
    surface, points = skin_surface(head), landmark_points(head)
    nets, shape = FaceNets(model_files()), load_face_shape()
    raw: dict[int, list[float]] = {0: [], 30: [], 60: []}
    slid: dict[int, list[float]] = {0: [], 30: [], 60: []}
    lost = 0
    with Renderer(head, size=256) as renderer:
        for k, seed in enumerate(bare_people(options.people or 16)):
            person = make_person(surface, seed)
            renderer.load(person)
            generator = np.random.default_rng([seed, 62])
            light, plate = draw_light(generator), draw_plate(generator, 256)
            world = to_world(
                points.on(pose_person(head, person, neutral_pose(), AHEAD))
            ).astype(np.float32)
            frontal = project(torch.tensor(world), orbit_label(0.0, 0.0))[0].numpy()
            width = float(np.linalg.norm(frontal[33] - frontal[263]))
            for yaw in raw:
                label = orbit_label(np.radians(yaw if k % 2 else -yaw), 0.0)
                pose = Pose(neutral_pose(), AHEAD, np.eye(3))
                picture = renderer.render(pose, label.numpy(), light)
                tracker, image = FaceTracker(nets), compose(picture, plate)
                tracker.update(image)
                found = tracker.update(image)
                if found is None:
                    lost += 1
                    continue
                seen = visible_points(world, picture, label.numpy()) > 0
                place, distance = project(torch.tensor(world), label)
                turn = label[:16].reshape(4, 4)[:3, :3].T.numpy()[None].astype(float)
                scale = float(label[16]) / float(distance.mean())
                slide = view_slide(shape.slide, turn)[0] * scale
                off = found / 256 - place.numpy()
                raw[yaw] += list(np.linalg.norm(off, axis=1)[seen] / width)
                slid[yaw] += list(np.linalg.norm(off - slide, axis=1)[seen] / width)
    for yaw, values in raw.items():
        a, b = np.median(values) * 100, np.median(slid[yaw]) * 100
        print(f"yaw {yaw}: median {a:.2f} %, {b:.2f} % after view_slide")
    print(f"not found: {lost}")


def spoken() -> Iterator[tuple[str, tuple[Phoneme, ...], float]]:
    """Yield voices and what they say: six voices of four languages."""
    for language, voices in VOICES.items():
        for voice in voices[:: max(1, len(voices) // 2)][:2]:
            text = " ".join(SENTENCES[language][:12])
            speech = speak_text(text, voice=voice, rate=155, pitch=50)
            yield voice, speech.phonemes, speech.seconds


def lips(options: argparse.Namespace) -> None:
    """Closures of p b m and the gap between lower lip and teeth in f v."""
    head = open_head(options.head)
    person = make_person(skin_surface(head), FRESH)
    teeth = np.flatnonzero(head.vertex_part == PARTS.index("teeth"))
    front = teeth[head.neutral[teeth, 2] > head.neutral[teeth, 2].max() - 0.6]
    upper = front[head.neutral[front, 1] > head.neutral[front, 1].mean()]
    shut, tuck, voices = [], [], []
    for voice, phonemes, _ in spoken():
        parts = split_phonemes(phonemes)
        voices.append(voice)
        for part in parts:
            if part.name not in "pbmfv":
                continue
            times = np.linspace(part.start, part.end, 7)
            posed = [
                pose_person(head, person, row.astype(np.float32), AHEAD)
                for row in articulate(parts, times)
            ]
            if part.name in "pbm":
                shut.append(min(head.gap(p, LIPS_UPPER, LIPS_LOWER) for p in posed))
            else:
                lip = head.landmarks[list(LIPS_LOWER)]
                tuck.append(min(p[upper, 1].min() - p[lip, 1].max() for p in posed))
    closed = np.mean(np.array(shut) < 0.05)
    print(f"{len(voices)} voices: {', '.join(voices)}")
    print(f"p b m: {len(shut)}, shut {100 * closed:.1f} %, widest {max(shut):.2f} cm")
    print(f"f v: {len(tuck)}, gap to the teeth: median {np.median(tuck):.3f} cm,")
    print(f"  95 % {np.percentile(tuck, 95):.3f} cm, worst {max(tuck):.3f} cm")


def sync(options: argparse.Namespace) -> None:
    """Lip gap at 100 Hz against targets: open vowels 1, others 0.4, shut sounds 0."""
    head = open_head(options.head)
    person = make_person(skin_surface(head), FRESH)
    lags = []
    for voice, phonemes, seconds in spoken():
        parts = split_phonemes(phonemes)
        times = np.arange(0, min(seconds, 20.0), 0.01)
        gaps = np.array(
            [
                head.gap(
                    pose_person(head, person, row.astype(np.float32), AHEAD),
                    LIPS_UPPER,
                    LIPS_LOWER,
                )
                for row in articulate(parts, times)
            ]
        )
        target = np.zeros(len(times))
        for part in parts:
            value = 1.0 if part.name in "æɑaʌɐɛeɔoɒ" else 0.4
            value = 0.0 if part.name in "pbmfvβ_" else value
            target[(times >= part.start) & (times < part.end)] = value
        shifts = np.arange(-25, 26)
        score = [
            np.corrcoef(np.roll(gaps, -s)[50:-50], target[50:-50])[0, 1] for s in shifts
        ]
        best = int(np.argmax(score))
        a, b, c = (score[min(max(best + d, 0), 50)] for d in (-1, 0, 1))
        lag = 10 * (shifts[best] + 0.5 * (a - c) / (a - 2 * b + c))
        lags.append(lag)
        print(f"{voice}: {lag:+.0f} ms, correlation {max(score):.2f}")
    print(f"median {np.median(lags):+.0f} ms")


def seconds_of_cpu() -> float:
    """Return what this process used of all cores so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cost(options: argparse.Namespace) -> None:
    """CPU seconds per picture at 256 px, 2 x 2 samples."""
    head = open_head(options.head)
    surface, new, following = skin_surface(head), [], []
    with Renderer(head, size=256) as renderer:
        for seed in range(FRESH - 2, FRESH + (options.people or 30)):
            generator = np.random.default_rng([seed, 63])
            poses = [
                Pose(draw_expression(generator), draw_gaze(generator), np.eye(3))
                for _ in range(3)
            ]
            label, light = draw_camera(generator), draw_light(generator)
            marks = [seconds_of_cpu()]
            renderer.load(make_person(surface, seed))
            for pose in poses:
                renderer.render(pose, label, light)
                marks.append(seconds_of_cpu())
            if seed >= FRESH:
                new.append(marks[1] - marks[0])
                following += list(np.diff(marks)[1:])
    load = os.getloadavg()[0]
    for name, values in (("new person", new), ("next frame", following)):
        print(
            f"{name}: mean {np.mean(values):.3f}, median {np.median(values):.3f},",
            end=" ",
        )
        print(f"most {max(values):.3f} CPU s")
    print(f"load {load:.1f}")


def corpus(options: argparse.Namespace) -> None:
    """Memory over a corpus, and the same bytes after kill -9."""
    config = CorpusConfig(people=8, views=3, size=128, seed=3, shard_people=2)
    code = (
        "import sys,json;from pathlib import Path;sys.path.insert(0,sys.argv[1]);"
        "import synthetic as s;s.make_corpus(Path(sys.argv[2]),Path(sys.argv[3]))"
    )
    here = str(Path(__file__).parent)
    hashes = []
    for name in ("whole", "killed"):
        out = options.out / name
        command = [sys.executable, "-c", code, here, str(out), str(options.head)]
        job = subprocess.Popen(command)  # noqa: S603
        if name == "killed":
            while not (out / "shard-00001.safetensors").is_file():
                time.sleep(0.02)
            job.send_signal(signal.SIGKILL)
            job.wait()
            print("killed with", len(list(out.glob("shard-*"))), "shards finished")
            job = subprocess.Popen(command)  # noqa: S603
        job.wait()
        files = sorted(out.glob("*"))
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        hashes.append(dict(zip([f.name for f in files], digests, strict=True)))
    same = hashes[0] == hashes[1]
    print(f"{config.people} people: {'same bytes' if same else 'DIFFERENT'}")


def make_corpus(out: Path, head: Path) -> None:
    """Write the corpus of ``corpus`` shard by shard; print the memory after each."""
    for people in (2, 4, 6, 8):
        config = CorpusConfig(people=people, views=3, size=128, seed=3, shard_people=2)
        write_corpus(out, config, head=head)
        status = Path("/proc/self/status").read_text()
        line = next(row for row in status.splitlines() if row.startswith("VmRSS"))
        print(people, "people,", int(line.split()[1]) // 1024, "MB", flush=True)


def tracking(options: argparse.Namespace) -> None:
    """What preprocess makes of synthetic clips, against the truth."""
    rows = []
    for seed in range(FRESH, FRESH + (options.people or 20)):
        folder = options.out / f"talk-{seed}"
        if not (folder / "subject.json").is_file():
            config = TalkConfig(seed, options.seconds, oversample=2, truth_frames=0)
            write_talk(folder, config, head=options.head)
        found = options.out / f"found-{seed}"
        if not (found / "subject.json").is_file():
            preprocess(folder / "source.mp4", found)
        row = compare(Subject.open(folder), Subject.open(found))
        rows.append(row)
        print(json.dumps({"seed": seed} | row), flush=True)
    for name in rows[0]:
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            print(f"{name}: median {np.median(values):.2f} of {len(values)}")


def count(_: argparse.Namespace) -> None:
    """Whom the draw gives: 2,000 seeds."""
    for group, numbers in count_people(range(2000)).items():
        print(f"| {group} |", ", ".join(f"{k} {v}" for k, v in numbers.items()), "|")


def strip(options: argparse.Namespace) -> None:
    """Draw 40 frames of 10 s of talk."""
    config = TalkConfig(seed=options.seed, seconds=10.0)
    talk_strip(config, options.out, head=options.head)


_ROWS = (determinism, depth, network, lips, sync, cost, corpus, tracking, count, strip)
ROWS = {row.__name__: row for row in _ROWS}


def main() -> None:
    """Measure one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=[*ROWS, "dump"])
    parser.add_argument("--head", type=Path, default=None)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/synthetic"))
    parser.add_argument("--people", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.row == "dump":
        dump(open_head(options.head), options.out)
    else:
        ROWS[options.row](options)


if __name__ == "__main__":
    main()
