"""The 3D prior: codes and conditions to tri-planes, rays and pictures.

Four calls, no hidden state: ``map`` (code, condition -> w), ``planes`` (w -> planes),
``render`` (planes, camera -> features, depth, alpha) and ``upsample`` (features, w ->
picture). ``query`` and ``render_rays`` serve points and ray patches. Sampling
positions are arguments; without them everything is deterministic.

Module names follow the published EG3D checkpoints. Convolutions run in the dtype of
``torch.autocast`` where it is on; rays and results are float32.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.camera import camera_rays, orbit_label
from talk3d.eg3d import volume
from talk3d.eg3d.backbone import Backbone, Decoder, Synthesis
from talk3d.eg3d.condition import condition_vector
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.depths import Rays, Sampling
from talk3d.eg3d.field import TriplaneField
from talk3d.eg3d.proposal import march_proposed
from talk3d.eg3d.rendering import Rendering, squared
from talk3d.eg3d.stylegan2 import BlockConfig, Mapping, body_dtype
from talk3d.eg3d.superres import SuperResolution

__all__ = ["Generator", "Rendering"]


class Generator(nn.Module):
    """A 3D generative network of people; see the module's description."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        blocks = BlockConfig(
            w_dim=config.w_dim,
            rgb_channels=3 * config.plane_channels,
            upsampling=config.upsampling,
            noise="added" if config.noise else "absent",
            clamp=config.clamp,
        )
        self.backbone = Backbone(
            Synthesis(config.plane_widths, blocks),
            Mapping(
                (config.z_dim, config.condition_dim, config.w_dim),
                depth=config.mapping_depth,
                rate=config.mapping_rate,
                floor=config.norm_floor,
            ),
        )
        self.superresolution = SuperResolution(
            config.superres, feature_channels=config.plane_channels, w_dim=config.w_dim
        )
        self.decoder = Decoder(
            config.plane_channels,
            config.decoder_width,
            rate=config.decoder_rate,
            activation=config.decoder_activation,
        )
        self.z_avg: Tensor
        self.register_buffer("z_avg", torch.zeros(config.z_dim))
        self.z_spread: Tensor
        self.register_buffer("z_spread", torch.eye(config.z_dim))
        self.register_load_state_dict_pre_hook(_with_spread)

    @property
    def num_layers(self) -> int:
        """Rows of ``w``."""
        return self.config.num_layers

    def map(
        self,
        z: Float[Tensor, "batch z"],
        condition: Float[Tensor, "batch c"],
        *,
        truncation: float = 1.0,
    ) -> Float[Tensor, "batch layers w"]:
        """Return the style vectors of an identity under a condition.

        Args:
            z: identity code.
            condition: camera label (or zeros), then expression and gaze if the
                configuration has them.
            truncation: 1 keeps the vectors, 0 gives the average.

        Raises:
            ValueError: if the condition has another length than the configuration.
        """
        dims, scales = self.config.condition_dims, self.config.condition_scales
        if condition.shape[1] != self.config.condition_dim:
            message = (
                f"the condition has {condition.shape[1]} numbers, this generator takes"
                f" {self.config.condition_dim} ({' + '.join(map(str, dims))})"
            )
            raise ValueError(message)
        parts = condition.float().split(dims, dim=1)
        scaled = torch.cat(
            [part * scale for part, scale in zip(parts, scales, strict=True)], dim=1
        )
        with torch.autocast(z.device.type, enabled=False):
            w = self.backbone.mapping(z, scaled)
            w = self.backbone.mapping.w_avg.lerp(w, truncation)
        return w[:, None].expand(-1, self.config.num_layers, -1)

    def condition(
        self,
        expression: Float[Tensor, "batch 53"],
        gaze: Float[Tensor, "batch 4"],
        camera: Float[Tensor, "batch 25"] | None = None,
    ) -> Float[Tensor, "batch 82"]:
        """Return the condition for an expression and a gaze.

        Args:
            expression: weights relative to the sealed neutral.
            gaze: left yaw, pitch, right yaw, pitch in radians.
            camera: label; without one the condition is that of use, which does not
                change with the view.
        """
        if camera is None and self.config.pose_told:
            camera = orbit_label(0.0, 0.0).to(expression).expand(len(expression), -1)
        return condition_vector(expression, gaze, camera)

    def codes(self, draws: Float[Tensor, "batch z"]) -> Float[Tensor, "batch z"]:
        """Return identity codes, spread as those of the people trained on.

        Args:
            draws: standard normal numbers; 0 is the average.
        """
        return self.z_avg + draws @ self.z_spread.T

    def draws(
        self, codes: Float[Tensor, "batch z"], noise: float = 0.05
    ) -> Float[Tensor, "batch z"]:
        """Return the likeliest draws behind codes that are known with noise.

        Args:
            codes: identity codes.
            noise: variance of the error of each of their numbers; it keeps directions
                in which people hardly differ from large draws.
        """
        spread = self.z_spread
        gram = spread.T @ spread + noise * torch.eye(len(spread), device=spread.device)
        return torch.linalg.solve(gram, (codes - self.z_avg) @ spread, left=False)

    @torch.no_grad()
    def set_spread(self, codes: Float[Tensor, "people z"]) -> None:
        """Set mean and covariance of the codes that ``codes`` returns."""
        self.z_avg.copy_(codes.mean(0))
        spread = torch.cov(codes.T, correction=min(1, len(codes) - 1))
        power, directions = torch.linalg.eigh(spread)
        self.z_spread.copy_(directions * power.clamp(min=0).sqrt())

    @torch.no_grad()
    def set_average(self, w: Float[Tensor, " w"]) -> None:
        """Set the style vector that truncation pulls toward."""
        self.backbone.mapping.w_avg.copy_(w)

    def planes(
        self,
        w: Float[Tensor, "batch layers w"],
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch 3 c height width"]:
        """Return the tri-planes in float32.

        Args:
            w: style vectors.
            generator: draws the backbone's noise; none: its constant noise, if any.
        """
        dtype = body_dtype(w)
        with torch.autocast(w.device.type, enabled=False):
            stacked = self.backbone.synthesis(w.float(), dtype, generator=generator)
        return stacked.float().unflatten(1, (3, self.config.plane_channels))

    def query(
        self,
        planes: Float[Tensor, "batch 3 c height width"],
        points: Float[Tensor, "batch n 3"],
    ) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n c"]]:
        """Return raw density and features (0 to 1) at world points.

        See ``density`` for what the raw density means. With cells marching, nothing
        is outside the box.
        """
        return self.field(planes)(points)

    def query_density(
        self,
        planes: Float[Tensor, "batch 3 c height width"],
        points: Float[Tensor, "batch n 3"],
    ) -> Float[Tensor, "batch n"]:
        """Return the raw density of ``query`` alone, for less."""
        return self.field(planes).raw(points)

    def field(
        self,
        planes: Float[Tensor, "batch 3 c height width"],
        neck: Float[Tensor, "batch 4 4"] | None = None,
        *,
        half: bool = False,
    ) -> TriplaneField:
        """Return what is at points, given tri-planes; see ``TriplaneField``."""
        return TriplaneField(self.decoder, self.config.volume, planes, neck, half=half)

    def density(self, raw: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return density per world unit from the raw density of ``query``."""
        return volume.positive_density(raw, self.config.volume.sharpness)

    def sampling(self, generator: torch.Generator | None = None) -> Sampling:
        """Return the deterministic sampling of use, or a random one of training."""
        rules = self.config.volume
        if generator is None:
            return Sampling(*rules.samples)
        return Sampling(*rules.train_samples, generator=generator)

    def render_rays(
        self,
        planes: Float[Tensor, "people 3 c height width"],
        origins: Float[Tensor, "batch rays 3"],
        directions: Float[Tensor, "batch rays 3"],
        samples: Sampling,
        *,
        neck: Float[Tensor, "batch 4 4"] | None = None,
        half: bool = False,
    ) -> volume.Marched:
        """Return what rays see.

        Args:
            planes: tri-planes; the images of each stand side by side.
            origins: where the rays start, world units.
            directions: unit vectors.
            samples: where to evaluate the field.
            neck: motion of the head against the torso, see ``talk3d.neck``; none:
                at rest.
            half: see ``render``.
        """
        rules = self.config.volume
        rays = self._rays(origins, directions)
        if rules.march == "midpoint":
            times = len(origins) // len(planes)
            many = planes if times == 1 else planes.repeat_interleave(times, dim=0)
            field = self.field(many, neck, half=half)
            return volume.march_midpoint(field, rays, samples, rules=rules)

        def marched(field: TriplaneField, ray: Rays, _item: int) -> volume.Marched:
            return volume.march_cells(field, ray, samples, rules=rules)

        return self._by_item(planes, rays, neck, marched, half=half)

    def march(
        self,
        planes: Float[Tensor, "people 3 c height width"],
        origins: Float[Tensor, "batch rays 3"],
        directions: Float[Tensor, "batch rays 3"],
        depths: Float[Tensor, "batch rays samples"],
        *,
        neck: Float[Tensor, "batch 4 4"] | None = None,
    ) -> Rendering:
        """Render a square image of rays, row by row, at given depths.

        Args:
            planes: tri-planes; the images of each stand side by side.
            origins: where the rays start, world units.
            directions: unit vectors.
            depths: where to evaluate the field, distance along the ray.
            neck: motion of the head against the torso; none: at rest.
        """
        rules = self.config.volume

        def marched(field: TriplaneField, ray: Rays, item: int) -> volume.Marched:
            return volume.march_cells(field, ray, depths[item : item + 1], rules=rules)

        rays = self._rays(origins, directions)
        return squared(self._by_item(planes, rays, neck, marched))

    def render(
        self,
        planes: Float[Tensor, "people 3 c height width"],
        label: Float[Tensor, "batch 25"],
        samples: Sampling,
        *,
        neck: Float[Tensor, "batch 4 4"] | None = None,
        size: int | None = None,
        shown: bool = False,
        half: bool = False,
    ) -> Rendering:
        """Render the whole image of a camera.

        Args:
            planes: tri-planes; the images of each stand side by side.
            label: camera labels.
            samples: where to evaluate the field.
            neck: motion of the head against the torso; none: at rest.
            size: pixels per side; none: the configuration's.
            shown: where a coarser image proposes depths, take more rays where pixels
                differ much from their neighbours, and none where nothing is.
            half: decode points in bfloat16 where the device has it in hardware.
        """
        rules = self.config.volume
        size = self.config.neural_size if size is None else size
        origins, directions = camera_rays(label, size)
        few = (rules.proposal_size or 0) * size // self.config.neural_size
        if few == 0 or size <= few or size % few:
            given = planes, origins, directions, samples
            return squared(self.render_rays(*given, neck=neck, half=half))
        scouts = self._rays(*camera_rays(label, few)).items()
        closer = self._rays(*camera_rays(label, 2 * size)).items() if shown else []

        def marched(field: TriplaneField, ray: Rays, item: int) -> volume.Marched:
            given = field, ray, scouts[item], samples
            many = closer[item] if shown else None
            return march_proposed(*given, rules=rules, closer=many, scouted=field.raw)

        rays = self._rays(origins, directions)
        return squared(self._by_item(planes, rays, neck, marched, half=half))

    def upsample(
        self,
        rendering: Rendering,
        w: Float[Tensor, "batch layers w"],
        *,
        patch: int | None = None,
    ) -> Float[Tensor, "batch picture height width"]:
        """Return the picture of an image or a patch of one, -1 to 1 and not clamped.

        ``patch`` is the size of a patch in pixels of the super-resolution's input.

        Where the super-resolution gives a matte, colour is premultiplied (-1 is
        nothing) and the fourth channel is the matte (1 person, -1 nothing).
        """
        raw = rendering.picture()[:, : self.config.superres.picture_channels]
        return self.superresolution(rendering.features, raw, w[:, -1], patch=patch)

    def _by_item(
        self,
        planes: Tensor,
        rays: Rays,
        neck: Tensor | None,
        march: Callable[[TriplaneField, Rays, int], volume.Marched],
        *,
        half: bool = False,
    ) -> volume.Marched:
        """March item by item: large intermediate results cost page faults."""
        count = len(rays.near)
        necks = [None] * count if neck is None else neck.split(1)
        # Split as they lie in memory, their gradients are joined in that order, too.
        pixels = planes.permute(0, 3, 4, 1, 2).split(1)
        ones = [one.permute(0, 3, 4, 1, 2) for one in pixels]
        each = [one for one in ones for _ in range(count // len(planes))]
        marched = [
            march(self.field(one, motion, half=half), ray, item)
            for item, (one, motion, ray) in enumerate(
                zip(each, necks, rays.items(), strict=True)
            )
        ]
        return volume.Marched(*(torch.cat(part) for part in zip(*marched, strict=True)))

    def _rays(self, origins: Tensor, directions: Tensor) -> Rays:
        rules = self.config.volume
        if rules.interval is None:
            near, far = volume.box_interval(origins, directions, box=rules.box)
        else:
            near, far = (torch.full_like(origins[..., 0], t) for t in rules.interval)
        return Rays(origins, directions, near, far)


def _with_spread(
    _module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Read files that know the spread of each number of a code alone."""
    if prefix + "z_std" in state:
        state[prefix + "z_spread"] = torch.diag(state.pop(prefix + "z_std"))
