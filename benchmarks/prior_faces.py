"""Test the prior on photographs: fit one, then move only face and camera to another.

    python benchmarks/prior_faces.py FACES -o FOLDER [--people N] [--controls N]

FACES holds ``NAME_03.jpg`` (neutral) and ``NAME_08.jpg`` (smiling) of the same people.
The first is fitted; then the weights are frozen, and expression, gaze and camera alone
are refitted to the second, from what the tracker says of it. The same is done from
random weights (of the first people: ``--controls``). Printed: PSNR inside the matte,
dB. Written: a sheet per person with both pictures, the result and its sides. The same
command goes on where it stopped.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from talk3d.benchmark.ours import shortened, unlearned
from talk3d.camera import orbit_label, pack_label, unpack_label
from talk3d.checkpoint import write_atomically
from talk3d.dataset import Subject
from talk3d.demo import shipped
from talk3d.frames import FrameBatch, FrameStore
from talk3d.movie import write_movie
from talk3d.objective import raw_error
from talk3d.person import Person, load_person
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import personalize_subject
from talk3d.preprocess.run import PreprocessConfig, preprocess

STILL_FRAMES = 30
STILL = PersonalizeConfig(invert_frames=1, tune_frames=1)
"""All frames of a photograph are the same."""
REFIT_STEPS = 80
REFIT_SIZE = 64
"""Rays per side while expression and camera are looked for."""
RATES = {"expression": 0.05, "gaze": 0.02, "motion": 0.004}
SIDES = (-60, -30, 0, 30, 60)


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--controls", type=int, default=20)
    parser.add_argument("--effort", type=float, default=0.15)
    parser.add_argument("--prior", type=Path)
    given = parser.parse_args()
    prior = given.prior or shipped("prior-small.safetensors")
    random = unlearned(prior, given.out / "unlearned.safetensors", seed=0)
    scores: dict[str, list[dict[str, float]]] = {"prior": [], "random": []}
    for index, name in enumerate(names(given.faces)[: given.people]):
        folder = given.out / name
        stills = [still(given.faces / f"{name}_{k}.jpg", folder) for k in ("03", "08")]
        rows = {"prior": prior} | ({"random": random} if index < given.controls else {})
        for row, weights in rows.items():
            score = _tested(stills, folder / row, weights, given.effort)
            scores[row].append(score)
            print(name, row, *(f"{k} {v:.2f}" for k, v in score.items()), flush=True)
    mean = {
        row: {key: float(np.mean([s[key] for s in found])) for key in found[0]}
        for row, found in scores.items()
        if found
    }
    (given.out / "prior_faces.json").write_text(json.dumps({"mean": mean, **scores}))
    print(json.dumps(mean, indent=1))


def names(faces: Path) -> list[str]:
    """Return the people in a folder of photographs."""
    return sorted(p.name[: -len("_03.jpg")] for p in faces.glob("*_03.jpg"))


def still(photo: Path, folder: Path) -> Subject:
    """Return a photograph as the subject of a video that stands still."""
    out = folder / photo.stem
    if not (out / "subject.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(photo) as image:
            picture = np.asarray(image.convert("RGB"))
        even = picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2]
        video = folder / f"{photo.stem}.mp4"
        write_movie(video, (even for _ in range(STILL_FRAMES)), fps=25.0)
        preprocess(video, out, PreprocessConfig(silent=True))
    return Subject.open(out)


def _tested(
    stills: list[Subject], folder: Path, prior: Path, effort: float
) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    known = folder / "score.json"
    if known.is_file():
        return json.loads(known.read_text())
    fitted = folder / "person.safetensors"
    if not fitted.is_file():
        config = shortened(STILL, effort, seed=0)
        personalize_subject(stills[0].path, prior, fitted, config, lambda *_: None)
    person = load_person(fitted)
    stores = [FrameStore(still, still.train) for still in stills]
    first, second = (store.batch([0]) for store in stores)
    neutral, other = (store.expressions()[1][:1] for store in stores)
    with torch.no_grad():
        w = person.styles(first.face, first.gaze)
        shown = _pictures(person, w, first.camera)
    moved, camera = _refitted(person, first, second, other - neutral)
    with torch.no_grad():
        again = _pictures(person, moved, camera)
        sides = torch.stack([orbit_label(math.radians(yaw), 0.0) for yaw in SIDES])
        around = _pictures(person, w.expand(len(sides), -1, -1), sides)
    rows = [first.premultiplied(), shown, second.premultiplied(), again, around]
    _sheet(torch.cat(rows), folder / "sheet.png")
    score = {"fitted": _psnr(shown, first), "refitted": _psnr(again, second)}
    with write_atomically(known) as temporary:
        temporary.write_text(json.dumps(score))
    return score


def _refitted(
    person: Person, first: FrameBatch, second: FrameBatch, change: Tensor
) -> tuple[Tensor, Tensor]:
    """Find expression, gaze and camera of a picture; the person stays.

    The search begins with the expression's change that the tracker saw.
    """
    learned = {
        "expression": person.drive.weights(first.face).detach() + change,
        "gaze": second.gaze.clone(),
        "motion": torch.zeros(1, 6),
    }
    for tensor in learned.values():
        tensor.requires_grad_(True)
    optimiser = torch.optim.Adam(
        [{"params": [value], "lr": RATES[name]} for name, value in learned.items()]
    )
    network = person.generator.requires_grad_(False)
    w, camera = _posed(person, first, second, learned)
    for step in range(REFIT_STEPS):
        w, camera = _posed(person, first, second, learned)
        chance = torch.Generator().manual_seed(step)
        rendering = network.render(
            person.planes(w), camera, network.sampling(chance), size=REFIT_SIZE
        )
        optimiser.zero_grad()
        raw_error(rendering.picture(), second).backward()
        optimiser.step()
    return w.detach(), camera.detach()


def _posed(
    person: Person, first: FrameBatch, second: FrameBatch, learned: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    condition = person.generator.condition(learned["expression"], learned["gaze"])
    w = person.generator.map(person.z, condition) + person.offset
    w = w + (first.face @ person.drive.style)[:, None]
    pose, intrinsics = unpack_label(second.camera)
    turn, shift = learned["motion"].split(3, dim=1)
    zero = torch.zeros_like(turn[:, 0])
    x, y, z = turn.unbind(1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1)
    motion = torch.eye(4).repeat(len(turn), 1, 1)
    motion[:, :3, :3] = torch.matrix_exp(cross.unflatten(1, (3, 3)))
    motion[:, :3, 3] = shift
    return w, pack_label(motion @ pose, intrinsics)


def _pictures(person: Person, w: Tensor, camera: Tensor) -> Tensor:
    network = person.generator
    rendering = network.render(
        person.planes(w[:1]).expand(len(w), -1, -1, -1, -1), camera, network.sampling()
    )
    return network.upsample(rendering, w).clamp(-1, 1)


def _psnr(picture: Tensor, batch: FrameBatch) -> float:
    error = ((picture - batch.premultiplied())[:, :3] / 2).square().mean(1)
    inside = batch.matte[:, 0] > 0.5
    return -10 * math.log10(error[inside].mean().item())


def _sheet(pictures: Tensor, path: Path) -> None:
    row = torch.cat(list(_over_grey(pictures)), dim=2)
    Image.fromarray((255 * row.permute(1, 2, 0)).byte().numpy()).save(path)


def _over_grey(pictures: Tensor) -> Iterator[Tensor]:
    for picture in (pictures + 1) / 2:
        yield (picture[:3] + 0.5 * (1 - picture[3:])).clamp(0, 1)


if __name__ == "__main__":
    main()
