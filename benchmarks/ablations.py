"""Take parts of the animator away, one at a time, and see what each is worth.

    python benchmarks/ablations.py -o FOLDER TALK [--effort SHARE] [--rows NAME...]
        [--taught AVATAR]

TALK is the folder of a person that benchmarks/talking.py made: recording, sentences and
the fitted person, from whom every row learns to speak anew with the same data, seed and
number of steps; one begins as the animator of another person, AVATAR. Judged on the
part of the recording that nobody saw, driven by its sound, and on sentences in two
other languages from 45 degrees to both sides:

* PSNR of the person, sharpness of eyes and mouth, LMD against the renderer's pictures
  (both found by the face networks), correlation of the gap of the lips with the true
  one, jitter of the face's landmarks against the true one; by how many levels two
  cameras up to 50 degrees of yaw and 10 of pitch apart differ on the same surface;
* PSNR from the sides; minutes that learning took.

Per row FOLDER/NAME.json and FOLDER/NAME.jpg; what is there is kept.
"""

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from talk3d.animator.extras import (
    Drawing,
    ExtraWeights,
    reprojection_error,
)
from talk3d.animator.model import Animator, DrivingBatch
from talk3d.animator.moving import Moving
from talk3d.animator.rollout import RollOutConv
from talk3d.animator.tokens import TOKENS
from talk3d.animator.train import AnimatorTrainConfig, fresh_animator, train_animator
from talk3d.animator.unet import Encoded
from talk3d.avatar import Avatar, load_avatar
from talk3d.benchmark.score import over_grey
from talk3d.dataset import Subject
from talk3d.evaluate import metrics, points
from talk3d.evaluate.regions import eye_boxes, mouth_box
from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.frames import FrameStore
from talk3d.interrupted import StateFile
from talk3d.person import Person, load_person
from talks import Talk, compared, drawn, driving_of, lip_gaps, together, tracked

SENTENCES = ("hu", "hi")
SIDES = (-45, 45)
HIDDEN = 128
TAUGHT = "begun as of another"
MOMENTS = 6


class LatentAnimator(Animator):
    """Tokens to an offset of the style vectors, instead of an offset of the planes.

    The offset of the planes that follows is the generator's own.
    """

    def __init__(self, like: Animator, person: Person) -> None:
        """Begin with an offset of zero."""
        super().__init__(like.config)
        self._person = (person,)
        styles = person.neutral().flatten(1).shape[1]
        tokens = len(TOKENS) * like.config.tokens.width
        last = nn.Linear(HIDDEN, styles)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.path = nn.Sequential(nn.Linear(tokens, HIDDEN), nn.SiLU(), last)

    def decode(self, encoded: Encoded, tokens: Tensor) -> Tensor:
        """Return what the offset of the styles changes of the neutral person."""
        del encoded
        (person,) = self._person
        w = person.neutral()
        moved = w + self.path(tokens.flatten(1)).unflatten(1, w.shape[1:])
        both = person.generator.planes(torch.cat([w, moved]))
        return both[1:] - both[:1]


class DeafAnimator(Animator):
    """An animator that lacks a token."""

    def __init__(self, like: Animator, token: str) -> None:
        """Begin as another animator."""
        super().__init__(like.config)
        self.load_state_dict(like.state_dict())
        self._lacks = TOKENS.index(token)

    def decode(self, encoded: Encoded, tokens: Tensor) -> Tensor:
        """Return the offset that the other tokens ask for."""
        kept = [k for k in range(len(TOKENS)) if k != self._lacks]
        return super().decode(encoded, tokens[:, kept])


class StillAnimator(Animator):
    """An animator that changes nothing: the generator's own motion is all."""

    def decode(self, encoded: Encoded, tokens: Tensor) -> Tensor:
        """Return no offset."""
        unet = self.config.unet
        del encoded
        shape = (len(tokens), 3, unet.plane_channels, unet.plane_size, unet.plane_size)
        return tokens.new_zeros(shape)


def without_roll_out(animator: Animator, _: Person) -> Animator:
    """Let no plane know of the others but by the tokens."""
    for part in animator.modules():
        if isinstance(part, RollOutConv):
            nn.init.zeros_(part.context.weight)
            part.context.requires_grad_(False)
    return animator


def concatenated(animator: Animator, person: Person) -> Animator:
    """Convolve the channels of all planes together, as if they were one picture."""
    animator = without_roll_out(animator, person)
    for part in list(animator.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.Conv2d) and child.groups > 1:
                setattr(part, name, _joined(child))
    return animator


def _joined(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution of the same sizes that is not split."""
    (size, _), (stride, _) = conv.kernel_size, conv.stride
    return nn.Conv2d(conv.in_channels, conv.out_channels, size, stride, padding=1)


@dataclass(frozen=True)
class Row:
    """What differs from the animator that ships."""

    animator: Callable[[Animator, Person], Animator] = lambda animator, _: animator
    """Changes the animator before it learns."""
    config: Callable[[AnimatorTrainConfig], AnimatorTrainConfig] = lambda config: config
    """Changes how it learns."""


def _pictures(**weights: float) -> Row:
    return Row(
        config=lambda c: replace(c, pictures=replace(c.pictures, **weights)),
    )


def _extra(**weights: float) -> Row:
    return Row(config=lambda c: replace(c, extras=ExtraWeights(**weights)))


def _without(token: str) -> Row:
    return Row(lambda animator, _: DeafAnimator(animator, token))


ROWS = {
    "whole": Row(),
    "no texture": _pictures(texture=0.0),
    "no detail": _pictures(detail=0.0),
    "eyes and mouth as the rest": _pictures(features=0.0),
    "thick walls": _pictures(thickness=0.0),
    "no detail from the side": _extra(side_detail=0.0),
    "no guard": Row(config=lambda c: replace(c, guard=0.0)),
    "no noise on tokens": Row(config=lambda c: replace(c, token_noise=0.0)),
    "pictures as fitted": Row(
        config=lambda c: replace(
            c, renderer_learning_rate=0.0, detail_learning_rate=0.0
        )
    ),
    "no roll-out": Row(without_roll_out),
    "planes as channels": Row(concatenated),
    "offset of the styles": Row(LatentAnimator),
    "no offset": Row(lambda animator, _: StillAnimator(animator.config)),
    "adversarial": _extra(adversarial=0.05),
    "reprojection": _extra(reprojection=1.0),
    "temporal": _extra(temporal=10.0),
} | {f"no {token} token": _without(token) for token in TOKENS}


def main() -> None:
    """Learn and judge every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("talk", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--effort", type=float, default=0.5)
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, TAUGHT])
    parser.add_argument("--taught", type=Path, help="avatar of another person")
    given = parser.parse_args()
    rows = ROWS
    if given.taught is not None:
        taught = load_avatar(given.taught).animator
        rows = ROWS | {TAUGHT: Row(lambda *_: copy.deepcopy(taught).requires_grad_())}
    elif TAUGHT in (given.rows or ()):
        parser.error(f"the row {TAUGHT!r} needs --taught AVATAR")
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.rows or rows:
        place = given.out / name.replace(" ", "-")
        scores = place.with_suffix(".json")
        if not scores.is_file():
            avatar, minutes = _learned(given.talk, rows[name], place, given.effort)
            found = _scored(given.talk, avatar, place.with_suffix(".jpg"))
            scores.write_text(json.dumps(found | {"minutes": minutes}))
        cells = json.loads(scores.read_text())
        print(f"{name:28}", *(f"{k} {v:.3f}" for k, v in cells.items()), flush=True)


def _learned(talk: Path, row: Row, place: Path, effort: float) -> tuple[Avatar, float]:
    """Teach the fitted person to speak, from the start."""
    subject, person = _own(talk)
    config = AnimatorTrainConfig()
    steps = max(1, round(effort * config.steps))
    config = row.config(replace(config, steps=steps))
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        animator = row.animator(fresh_animator(person, config), person)
    state = place.with_suffix(".state")
    for _ in train_animator(subject, person, config, state=state, animator=animator):
        pass
    minutes = StateFile(state).open()["seconds"] / 60
    state.unlink(missing_ok=True)
    animator.eval().requires_grad_(False)
    return Avatar.of(subject, person, animator), minutes


def _own(talk: Path) -> tuple[Subject, Person]:
    person = load_person(talk / "ours" / "person.safetensors")
    return Subject.open(talk / "own"), person


def _scored(talk: Path, avatar: Avatar, strip: Path) -> dict[str, float]:
    """Judge the unseen part of the recording, and the sides of two sentences."""
    subject = Subject.open(talk / "own")
    nets = FaceNets(model_files(None, offline=True))
    frames = subject.test
    shown = list(avatar.replay(subject.audio(), frames))
    shown = [np.ascontiguousarray(over_grey(picture)) for picture in shown]
    truth = [_on_grey(subject, frame) for frame in frames]
    index = list(frames)
    marks, cameras = (subject.arrays[name][index] for name in ("landmarks", "camera"))
    own, true = (tracked(pictures, marks, nets) for pictures in (shown, truth))
    scale = points.face_scale(true)
    found = {
        "psnr": float(
            np.mean([_psnr(a, subject, k) for a, k in zip(shown, index, strict=True)])
        ),
        "lmd": float(np.nanmean(points.lip_distance(own, true, scale=scale))),
        "gap": together(lip_gaps(own, cameras), lip_gaps(marks, cameras)),
        "jitter": points.jitter(own, true),
    }
    powers = [_powers(a, b, m) for a, b, m in zip(shown, truth, marks, strict=True)]
    for region in ("eyes", "mouth"):
        both = np.array([power[region] for power in powers]).sum(0)
        found[region] = float(both[0] / both[1])
    for yaw in SIDES:
        scores = [s for name in SENTENCES for s in _side(talk / name, avatar, yaw)]
        for name in ("psnr", "surface"):
            found[f"{name} at {yaw}"] = float(np.nanmean([s[name] for s in scores]))
    found["reprojection"] = _reprojection(subject, avatar)
    columns = [np.vstack(pair) for pair in zip(truth[::12], shown[::12], strict=True)]
    Image.fromarray(np.hstack(columns)).save(strip, quality=92)
    return found


@torch.no_grad()
def _reprojection(subject: Subject, avatar: Avatar) -> float:
    """Return by how many levels of 255 two cameras differ on the same surface."""
    store, person = FrameStore(subject, subject.test), avatar.person
    batch = store.batch(store.spread(MOMENTS))
    driving = driving_of(subject, avatar, batch.frame)
    w, planes = Moving.of(person, avatar.animator, avatar.rest()).planes(driving)
    network = person.generator
    view = network.render(planes, batch.camera, network.sampling(), neck=batch.neck)
    first = Drawing(batch, w, planes, view, network.upsample(view, w))
    chance = torch.Generator().manual_seed(0)
    second = first.beside(
        network, network.sampling(), patch=None, half=False, chance=chance
    )
    return 127.5 * reprojection_error(first, second).item()


def _on_grey(subject: Subject, frame: int) -> np.ndarray:
    matte = subject.matte(frame)[..., None]
    return over_grey(np.concatenate([subject.frame(frame), matte], axis=2))


def _psnr(picture: np.ndarray, subject: Subject, frame: int) -> float:
    truth = _on_grey(subject, frame).astype(np.float32) / 255
    shown = picture.astype(np.float32) / 255
    return metrics.psnr(shown, truth, mask=subject.matte(frame) > 127)


def _powers(
    picture: np.ndarray, truth: np.ndarray, marks: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return the strength of detail in a picture and in the truth, by region."""
    size = (truth.shape[1], truth.shape[0])
    both = [metrics.detail_power(p.astype(np.float32) / 255) for p in (picture, truth)]
    boxes = {"mouth": (mouth_box(marks, size),), "eyes": eye_boxes(marks, size)}
    found = {}
    for region, parts in boxes.items():
        own, true = (sum(float(b.cut(p).sum()) for b in parts) for p in both)
        found[region] = (own, true)
    return found


def _side(path: Path, avatar: Avatar, yaw: int) -> list[dict[str, float]]:
    talk = Talk.open(path)
    seen, subject = talk.view(yaw), talk.subject
    frames = torch.from_numpy(seen["frames"])
    driving: DrivingBatch = driving_of(subject, avatar, frames)
    with torch.no_grad():
        moving = Moving.of(avatar.person, avatar.animator, avatar.rest())
        w, planes = moving.planes(driving)
    necks = torch.from_numpy(subject.arrays["neck"])[frames]
    pictures, depths = drawn(avatar.person, w, planes, seen["camera"], necks)
    return [
        compared(picture, depth, seen, k, talk)
        for k, (picture, depth) in enumerate(zip(pictures, depths, strict=True))
    ]


if __name__ == "__main__":
    main()
