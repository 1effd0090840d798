"""Measure how sharp made-up people are where people look, and draw them.

    python benchmarks/prior_samples.py -o FOLDER [--prior FILE] [--head FILE]

Draws N people of the prior and N of the renderer, both at rest, from -75 to 75 degrees.
Printed: power above a quarter of the Nyquist frequency in the eyes and in the mouth,
mean over the prior's pictures divided by the mean over the renderer's, by yaw. The
boxes are those of the average face, 30 % wider, in both; an eye that the head hides is
left out. Written: prior.png and renderer.png, a person in each row.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from talk3d.camera import orbit_label, project
from talk3d.demo import shipped
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.sample import SHEET_YAWS, draw_codes, sample_sheet
from talk3d.evaluate.metrics import detail_power
from talk3d.evaluate.regions import box_mask, eye_boxes, mouth_box
from talk3d.face import load_face_shape
from talk3d.synthetic.builtin import open_head
from talk3d.synthetic.light import draw_light
from talk3d.synthetic.people import make_person
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import skin_surface
from talk3d.synthetic.view import Pose

FIRST_SEED = 7000
ONE_EYE = 30.0
"""Degrees of yaw beyond which one eye is looked at."""


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--prior", type=Path)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--head", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    generator = load_generator(given.prior or shipped("prior-small.safetensors"))
    seeds = range(given.people)
    made_up = sample_sheet(generator, draw_codes(generator, seeds))
    drawn = _drawn([FIRST_SEED + seed for seed in seeds], given.head)
    for name, sheet in (("prior", made_up), ("renderer", drawn)):
        Image.fromarray(sheet).save(given.out / f"{name}.png")
    powers = [_powers(sheet) for sheet in (made_up, drawn)]
    print("yaw    ", *(f"{yaw:6.0f}" for yaw in SHEET_YAWS), "   all")
    for region in ("eyes", "mouth"):
        ours, truth = (power[region] for power in powers)
        ratios = [*(ours.mean(0) / truth.mean(0)), ours.mean() / truth.mean()]
        print(f"{region:7}", *(f"{ratio:6.2f}" for ratio in ratios))


def _drawn(seeds: list[int], head: Path | None) -> np.ndarray:
    """Draw fresh people of the renderer at rest on grey, one in each row."""
    model = open_head(head)
    surface = skin_surface(model)
    pose = Pose(np.zeros(53, np.float32), np.zeros(4, np.float32), np.eye(3))
    rows = []
    with Renderer(model, size=256, oversample=3) as renderer:
        for seed in seeds:
            renderer.load(make_person(surface, seed))
            light = draw_light(np.random.default_rng([seed, 60]))
            views = [renderer.render(pose, _label(yaw), light) for yaw in SHEET_YAWS]
            rows.append(np.hstack([_on_grey(view.image) for view in views]))
    return np.vstack(rows)


def _label(yaw: float) -> np.ndarray:
    return orbit_label(math.radians(yaw), 0.0).numpy()


def _on_grey(image: np.ndarray) -> np.ndarray:
    alpha = image[..., 3:].astype(np.float32) / 255
    mixed = image[..., :3] * alpha + 127.5 * (1 - alpha)
    return (mixed + 0.5).astype(np.uint8)


def _powers(sheet: np.ndarray) -> dict[str, np.ndarray]:
    """Return the detail power of every picture of a sheet, people by yaws."""
    columns = len(SHEET_YAWS)
    size = sheet.shape[1] // columns
    tiles = sheet.reshape(-1, size, columns, size, 3).swapaxes(1, 2)
    found: dict[str, list[list[float]]] = {"eyes": [], "mouth": []}
    for row in tiles:
        power = [detail_power(tile.astype(np.float32) / 255) for tile in row]
        for region, values in found.items():
            masks = [_mask(region, yaw, size) for yaw in SHEET_YAWS]
            pairs = zip(power, masks, strict=True)
            values.append([float(own[mask].mean()) for own, mask in pairs])
    return {region: np.array(values) for region, values in found.items()}


def _mask(region: str, yaw: float, size: int) -> np.ndarray:
    points = torch.from_numpy(load_face_shape().mean)
    marks = project(points, torch.from_numpy(_label(yaw)))[0].numpy()
    if region == "mouth":
        return box_mask((mouth_box(marks, (size, size)),), (size, size))
    left, right = eye_boxes(marks, (size, size))
    seen = (left, right) if abs(yaw) < ONE_EYE else (left if yaw > 0 else right,)
    return box_mask(seen, (size, size))


if __name__ == "__main__":
    main()
