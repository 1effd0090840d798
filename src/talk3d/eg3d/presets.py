"""Named sizes of the generator."""

from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.superres import SuperResolutionConfig
from talk3d.eg3d.volume import VolumeConfig

__all__ = ["ffhq512", "small"]


def small() -> GeneratorConfig:
    """Return the default for CPUs: planes 128, picture 256, 7 M parameters."""
    return GeneratorConfig(
        neural_size=128,
        volume=VolumeConfig(train_samples=(32, 8), samples=(32, 12), proposal_size=64),
        superres=SuperResolutionConfig(input_size=128, doublings=1),
    )


def ffhq512() -> GeneratorConfig:
    """Return the sizes of the published ffhq512-128 network."""
    return GeneratorConfig(
        z_dim=512,
        w_dim=512,
        condition_dims=(25,),
        condition_scales=(1.0,),
        norm_floor=1e-8,
        mapping_rate=0.01,
        plane_size=256,
        width_base=32768,
        width_max=512,
        upsampling="official",
        noise=True,
        decoder_activation="softplus",
        neural_size=128,
        volume=VolumeConfig(
            axes="official",
            march="midpoint",
            interval=(2.25, 3.3),
            sharpness=1.0,
            train_samples=(48, 48),
            samples=(48, 48),
        ),
        superres=SuperResolutionConfig(
            input_size=128,
            widths=(256, 128),
            upsampling="official",
            clamp=256.0,
            alpha=False,
        ),
    )
