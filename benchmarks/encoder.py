"""Test the encoder on photographs: does it know people again, does it help a fit.

    python benchmarks/encoder.py FACES -o FOLDER [--people N] [--fits N]

FACES holds ``NAME_03.jpg`` (neutral) and ``NAME_08.jpg`` (smiling) of the same people.
Printed: how well the cosine of embeddings tells pairs of one person from pairs of two
(area under the ROC curve, equal error rate, and how often the nearest of all smiling
pictures is the same person); and for the first fits, the error of the raw picture
after so many steps of inversion, begun from the average person and from the encoder.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from prior_faces import STILL, names, still
from talk3d.dataset import Subject
from talk3d.demo import shipped
from talk3d.encoder.network import Encoder, load_encoder
from talk3d.frames import FrameStore
from talk3d.objective import raw_error
from talk3d.person import Person
from talk3d.personalize import personalize

LOOKED_AT = (1, 5, 10, 25, 50)
"""Steps of inversion."""


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=80)
    parser.add_argument("--fits", type=int, default=5)
    parser.add_argument("--prior", type=Path)
    parser.add_argument("--encoder", type=Path)
    given = parser.parse_args()
    prior = given.prior or shipped("prior-small.safetensors")
    file = given.encoder or shipped("encoder-small.safetensors")
    encoder = load_encoder(file)
    chosen = names(given.faces)[: given.people]
    seen = []
    for kind in ("03", "08"):
        subjects = [
            still(given.faces / f"{name}_{kind}.jpg", given.out / name)
            for name in chosen
        ]
        seen.append(torch.cat([_embedding(encoder, subject) for subject in subjects]))
    found = _recognised(seen[0] @ seen[1].T)
    print(json.dumps(found, indent=1))
    errors = {"average": np.zeros(len(LOOKED_AT)), "encoder": np.zeros(len(LOOKED_AT))}
    for name in chosen[: given.fits]:
        subject = still(given.faces / f"{name}_03.jpg", given.out / name)
        for start, begin in (("average", None), ("encoder", file)):
            error = _inverted(subject, prior, begin, given.out / f"{start}.state")
            errors[start] += np.array(error) / given.fits
    print("steps  ", *(f"{step:7}" for step in LOOKED_AT))
    for start, error in errors.items():
        print(start, *(f"{value:7.4f}" for value in error))
    content = found | {name: error.tolist() for name, error in errors.items()}
    (given.out / "encoder.json").write_text(json.dumps(content, indent=1))


@torch.no_grad()
def _embedding(encoder: Encoder, subject: Subject) -> torch.Tensor:
    batch = FrameStore(subject, subject.train).batch([0])
    return encoder(batch.premultiplied()).embedding


def _recognised(alike: torch.Tensor) -> dict[str, float]:
    """Judge cosines: rows and columns are two pictures of the same people."""
    same = torch.eye(len(alike), dtype=torch.bool)
    own, others = alike[same], alike[~same]
    area = (own[:, None] > others).float().mean()
    bars = torch.cat([own, others]).sort().values
    missed = (own[:, None] < bars).float().mean(0)
    taken = (others[:, None] >= bars).float().mean(0)
    at = (missed - taken).abs().argmin()
    nearest = (alike.argmax(1) == torch.arange(len(alike))).float().mean()
    return {
        "people": float(len(alike)),
        "area under the curve": area.item(),
        "equal error": ((missed[at] + taken[at]) / 2).item(),
        "nearest is right": nearest.item(),
        "cosine, same": own.mean().item(),
        "cosine, others": others.mean().item(),
    }


def _inverted(
    subject: Subject, prior: Path, encoder: Path | None, state: Path
) -> list[float]:
    """Return the raw error after steps of inversion."""
    state.unlink(missing_ok=True)
    errors = []
    for stage, step, _, person in personalize(
        subject, prior, STILL, state=state, encoder=encoder
    ):
        if stage != "invert":
            break
        if step in LOOKED_AT:
            errors.append(_error(subject, person))
    state.unlink(missing_ok=True)
    return errors


@torch.no_grad()
def _error(subject: Subject, person: Person) -> float:
    batch = FrameStore(subject, subject.train).batch([0])
    w = person.styles(batch.face, batch.gaze)
    rendering = person.generator.render(
        person.planes(w), batch.camera, person.generator.sampling(), size=64
    )
    return raw_error(rendering.picture(), batch).item()


if __name__ == "__main__":
    main()
