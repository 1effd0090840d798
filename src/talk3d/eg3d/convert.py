"""Importing published EG3D networks into talk3d's own files.

Comes in: a pickle in the published format, read by ``official.py`` without executing
it. Goes out: one safetensors file whose configuration says everything the pickle
spreads over attributes, among them the plane axes, which the weights do not tell.
The weights stay as they are, bit for bit, and stay under their publisher's licence.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from talk3d.checkpoint import check_apart, file_sha256, save_model
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.official import OfficialNetwork, read_official
from talk3d.eg3d.superres import SuperResolutionConfig
from talk3d.eg3d.volume import PLANE_AXES, PlaneAxes, VolumeConfig

__all__ = ["import_official", "official_config"]

_LICENCE = (
    "as the imported file; NVIDIA's networks: NVIDIA Source Code License for EG3D,"
    " non-commercial"
)
_UNUSED = ("dataset_label_std",)
_OWN = ("z_avg", "z_spread")
_SUPERRES: dict[str, dict[str, Any]] = {
    "SuperresolutionHybrid8XDC": {
        "input_size": 128,
        "widths": (256, 128),
        "doublings": 2,
        "shrink": True,
        "spare_filter": False,
    },
    "SuperresolutionHybrid8X": {
        "input_size": 128,
        "widths": (128, 64),
        "doublings": 2,
        "shrink": True,
        "spare_filter": True,
    },
    "SuperresolutionHybrid4X": {
        "input_size": 128,
        "widths": (128, 64),
        "doublings": 1,
        "shrink": False,
        "spare_filter": True,
    },
    "SuperresolutionHybrid2X": {
        "input_size": 64,
        "widths": (128, 64),
        "doublings": 1,
        "shrink": True,
        "spare_filter": True,
    },
}
_EXPECTED: dict[str, Any] = {
    "clamp_mode": "softplus",
    "disparity_space_sampling": False,
    "density_noise": 0,
    "superresolution_noise_mode": "none",
}
"""Rendering settings of which only one value is supported."""


def import_official(
    path: Path, out: Path, *, plane_axes: PlaneAxes | None = None
) -> GeneratorConfig:
    """Convert a published network pickle to a prior file.

    Args:
        path: the pickle; its averaged generator is taken.
        out: destination.
        plane_axes: which world axes the planes span; none: what the renderer stored
            in the pickle says. NVIDIA's networks are ``official``, networks
            retrained with the corrected planes ``xy_xz_zy``.

    Returns:
        The configuration written into the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is hostile, damaged, of a kind not supported, or the
            one to write.
    """
    check_apart(out, path)
    network = read_official(path)
    config = official_config(network, plane_axes=plane_axes)
    with torch.random.fork_rng():
        expected = Generator(config).state_dict()
    _check_names(network.state, expected)
    own = {name: expected[name] for name in _OWN}
    save_model(
        out,
        network.state | own,
        kind="prior",
        config=asdict(config),
        parents={"official": file_sha256(path)},
        extra={
            "source": path.name,
            "settings": network.attributes["rendering_kwargs"],
        },
        licence=_LICENCE,
    )
    return config


def official_config(
    network: OfficialNetwork, *, plane_axes: PlaneAxes | None = None
) -> GeneratorConfig:
    """Gather a generator's configuration from what a published file stores.

    Args:
        network: the averaged generator.
        plane_axes: as in ``import_official``.

    Raises:
        ValueError: if a setting is missing or not supported.
    """
    try:
        return _config(network, plane_axes or _stored_axes(network.plane_axes))
    except KeyError as error:
        message = (
            f"the file lacks the setting {error}: it is no published EG3D generator"
        )
        raise ValueError(message) from error


def _config(network: OfficialNetwork, axes: PlaneAxes) -> GeneratorConfig:
    settings = network.attributes["rendering_kwargs"]
    for name, wanted in _EXPECTED.items():
        if settings.get(name, wanted) != wanted:
            message = (
                f"the network has {name} = {settings[name]!r}: only {wanted!r} is"
                " supported"
            )
            raise ValueError(message)
    given = network.attributes["_init_kwargs"]
    scale = settings.get("c_scale", 0)
    if settings["c_gen_conditioning_zero"]:
        scale = 0
    rate = settings.get("decoder_lr_mul", 1)
    return GeneratorConfig(
        z_dim=given["z_dim"],
        w_dim=given["w_dim"],
        condition_dims=(given["c_dim"],),
        condition_scales=(float(scale),),
        norm_floor=1e-8,
        mapping_depth=given["mapping_kwargs"]["num_layers"],
        mapping_rate=0.01,
        plane_size=256,
        plane_channels=32,
        width_base=given["channel_base"],
        width_max=given["channel_max"],
        upsampling="official",
        noise=True,
        clamp=given.get("conv_clamp"),
        decoder_width=64,
        decoder_activation="softplus",
        decoder_rate=float(rate),
        neural_size=int(network.attributes["neural_rendering_resolution"]),
        volume=_volume(settings, axes),
        superres=_superres(network, given),
    )


def _volume(settings: dict[str, Any], axes: PlaneAxes) -> VolumeConfig:
    interval = (settings["ray_start"], settings["ray_end"])
    counts = (
        int(settings["depth_resolution"]),
        int(settings["depth_resolution_importance"]),
    )
    return VolumeConfig(
        axes=axes,
        box=float(settings["box_warp"]),
        march="midpoint",
        background="white" if settings.get("white_back") else "black",
        interval=None if interval == ("auto", "auto") else interval,
        sharpness=1.0,
        train_samples=counts,
        samples=counts,
    )


def _superres(network: OfficialNetwork, given: dict[str, Any]) -> SuperResolutionConfig:
    name = network.modules["superresolution"]
    if name not in _SUPERRES:
        message = (
            f"the super-resolution {name} is not supported: one of"
            f" {', '.join(_SUPERRES)} is needed"
        )
        raise ValueError(message)
    half = given.get("sr_num_fp16_res", 0) > 0
    return SuperResolutionConfig(
        **_SUPERRES[name],
        upsampling="official",
        clamp=256.0 if half else None,
        alpha=False,
    )


def _stored_axes(stored: Tensor | None) -> PlaneAxes:
    """Return the convention whose axis vectors the renderer stored."""
    if stored is not None and stored.shape == (3, 3, 3):
        pairs = tuple(tuple(rows[:2].argmax(dim=1).tolist()) for rows in stored)
        for name in get_args(PlaneAxes):
            if PLANE_AXES[name] == pairs:
                return name
    message = (
        "the file does not say which plane axes its weights were trained with: give"
        f" plane_axes as one of {', '.join(PLANE_AXES)}"
    )
    raise ValueError(message)


def _check_names(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Check that the weights are those of the configuration."""
    wanted = {n: tuple(v.shape) for n, v in expected.items() if n not in _OWN}
    found = {n: tuple(v.shape) for n, v in state.items() if n not in _UNUSED}
    if found != wanted:
        names = sorted(n for n, _ in found.items() ^ wanted.items())
        message = (
            "the weights are not those of a published EG3D generator; the first to"
            f" differ: {names[0]}"
        )
        raise ValueError(message)
