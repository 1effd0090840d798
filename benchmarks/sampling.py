"""Measure what few samples of a ray cost in error: against 384 samples of every ray.

    python benchmarks/sampling.py FILE

FILE is an avatar or a prior. Per plan (coarse bins of a scouting ray + samples of a
ray) and yaw: PSNR of the raw colour, dB; mean depth error on the person, mm; seconds.
"""

import argparse
import dataclasses
import math
import time
from pathlib import Path

import torch

from talk3d.avatar import load_avatar
from talk3d.camera import orbit_label
from talk3d.eg3d.depths import Sampling
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.generator import Generator, Rendering
from talk3d.person import Person, average_person

YAWS = (0, 30, 60)
PLANS = ((16, 8), (16, 12), (32, 8), (32, 12), (32, 16))
DENSE = Sampling(384, 0)
MM = 400.0


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    person = _opened(parser.parse_args().file)
    network, planes = person.generator, person.planes(person.neutral())
    labels = [orbit_label(math.radians(yaw), 0.0)[None] for yaw in YAWS]
    rules = network.config
    plain = dataclasses.replace(rules.volume, proposal_size=None)
    network.config = dataclasses.replace(rules, volume=plain)
    dense = [network.render(planes, label, DENSE) for label in labels]
    network.config = rules
    for plan in PLANS:
        cells = []
        for label, truth in zip(labels, dense, strict=True):
            started = time.perf_counter()
            found = network.render(planes, label, Sampling(*plan))
            seconds = time.perf_counter() - started
            cells.append(f"{_psnr(found, truth):.1f} {_depth(found, truth):.2f}")
        print(f"{plan[0]} + {plan[1]}:", " | ".join(cells), f"| {seconds:.3f} s")


def _opened(path: Path) -> Person:
    try:
        return load_avatar(path).person
    except ValueError:
        network: Generator = load_generator(path)
        return average_person(network)


def _psnr(found: Rendering, truth: Rendering) -> float:
    error = (found.features - truth.features)[:, :3].square().mean() / 4
    return -10 * math.log10(error.item())


def _depth(found: Rendering, truth: Rendering) -> float:
    off = (found.depth - truth.depth).abs() * truth.alpha
    return MM * (off.sum() / truth.alpha.sum()).item()


if __name__ == "__main__":
    main()
