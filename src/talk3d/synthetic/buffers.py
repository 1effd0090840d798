"""What the renderer keeps on the OpenGL side: meshes, hair, frame buffers, noise."""

import contextlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter

from talk3d.synthetic.cards import CARD_LAYOUT, Cards
from talk3d.synthetic.gl import moderngl
from talk3d.synthetic.head import HeadModel, to_world
from talk3d.synthetic.outfit import Mesh

__all__ = ["GBuffer", "HairBuffer", "MeshBuffer", "make_noise"]

_Programs = dict[str, moderngl.Program]

_MOVING = ("3f 3f 1f", "position", "normal", "hollow")
_RESTING = ("3f 2f 4f 1f", "rest", "uv", "region", "part")
_WORN_PART = 0.0
_NOISE_SIZE = 64


class MeshBuffer:
    """A mesh on the OpenGL side, split where its texture has seams."""

    def __init__(
        self,
        context: moderngl.Context,
        programs: _Programs,
        *,
        source: np.ndarray,
        resting: np.ndarray,
        groups: dict[str, np.ndarray],
    ) -> None:
        """Upload what does not move.

        Args:
            context: the OpenGL context.
            programs: programs by name.
            source: mesh vertex behind each uploaded vertex.
            resting: rows of rest position, uv, region and part.
            groups: triangles (uploaded vertex indices) by program name.
        """
        self._source = source
        self._moving = context.buffer(reserve=len(source) * 28, dynamic=True)
        still = context.buffer(np.ascontiguousarray(resting, np.float32).tobytes())
        layout = [(self._moving, *_MOVING), (still, *_RESTING)]
        self._arrays = {
            name: context.vertex_array(
                programs[name],
                layout,
                context.buffer(triangles.astype(np.int32).tobytes()),
                skip_errors=True,
            )
            for name, triangles in groups.items()
            if len(triangles)
        }

    @classmethod
    def of_head(
        cls,
        context: moderngl.Context,
        programs: _Programs,
        head: HeadModel,
        *,
        regions: Float[np.ndarray, "vertices 4"],
        groups: dict[str, Bool[np.ndarray, " triangles"]],
    ) -> "MeshBuffer":
        """Upload the head model; ``groups`` selects triangles by program name."""
        key = head.triangles.ravel() * len(head.uv) + head.triangle_uv.ravel()
        unique, inverse = np.unique(key, return_inverse=True)
        source, uv = unique // len(head.uv), head.uv[unique % len(head.uv)]
        triangles = inverse.reshape(-1, 3)
        part = np.zeros(len(unique))
        part[triangles.ravel()] = np.repeat(head.triangle_part, 3)
        resting = np.concatenate(
            [head.neutral[source], uv, regions[source], part[:, None]], 1
        )
        return cls(
            context,
            programs,
            source=source,
            resting=resting,
            groups={name: triangles[chosen] for name, chosen in groups.items()},
        )

    @classmethod
    def of_mesh(
        cls, context: moderngl.Context, programs: _Programs, mesh: Mesh
    ) -> "MeshBuffer":
        """Upload something worn."""
        count = len(mesh.points)
        regions = np.zeros((count, 4))
        regions[:, 0] = mesh.light
        part = np.full((count, 1), _WORN_PART)
        buffer = cls(
            context,
            programs,
            source=np.arange(count),
            resting=np.concatenate([mesh.points, mesh.uv, regions, part], 1),
            groups={"worn": mesh.triangles, "mesh shadow": mesh.triangles},
        )
        buffer.move(mesh.points, mesh.normals)
        return buffer

    def move(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        normals: Float[np.ndarray, "vertices 3"],
        hollows: Float[np.ndarray, " vertices"] | None = None,
    ) -> None:
        """Upload a pose: cm, unit vectors, curvature of the skin in 1/cm."""
        bend = np.zeros(len(vertices)) if hollows is None else hollows
        rows = np.concatenate([to_world(vertices), normals, bend[:, None]], 1)
        rows = rows[self._source]
        self._moving.write(np.ascontiguousarray(rows, np.float32).tobytes())

    def draw(self, program: str) -> None:
        """Draw the triangles that belong to a program."""
        if program in self._arrays:
            self._arrays[program].render()


class HairBuffer:
    """Hair cards on the OpenGL side."""

    def __init__(
        self, context: moderngl.Context, programs: _Programs, cards: Cards
    ) -> None:
        """Upload cards."""
        self._vertices = context.buffer(cards.vertices.tobytes(), dynamic=True)
        indices = context.buffer(cards.triangles.tobytes())
        self._count = cards.triangles.size
        self._arrays = {
            name: context.vertex_array(
                programs[name],
                [(self._vertices, *CARD_LAYOUT)],
                indices,
                skip_errors=True,
            )
            for name in ("hair", "hair shadow")
        }

    def move(self, cards: Cards) -> None:
        """Upload the same cards in a new pose."""
        self._vertices.write(cards.vertices.tobytes())

    def draw(self, program: str) -> None:
        """Draw all cards."""
        self._arrays[program].render()

    def draw_half(self, program: str) -> None:
        """Draw the first half of the cards: enough for a shadow."""
        self._arrays[program].render(vertices=self._count // 12 * 6)


class GBuffer:
    """Frame buffers from the first surface to the averaged picture."""

    def __init__(
        self, context: moderngl.Context, programs: _Programs, size: int, oversample: int
    ) -> None:
        """Allocate the buffers.

        Args:
            context: the OpenGL context.
            programs: holds ``shade`` and ``resolve``.
            size: pixels per side of the picture.
            oversample: samples per pixel and axis.
        """
        side = size * oversample
        self._context = context
        self._size = size
        kinds = ("f1", "f2", "f1")
        self._maps = [context.texture((side, side), 4, dtype=kind) for kind in kinds]
        self._depth = context.depth_texture((side, side))
        self._depth.compare_func = ""
        self._surfaces = context.framebuffer(self._maps, self._depth)
        self._light = context.texture((side, side), 4, dtype="f2")
        self._lit = context.framebuffer([self._light])
        for texture in (*self._maps, self._depth, self._light):
            texture.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self._image = context.texture((size, size), 4)
        self._truth = context.texture((size, size), 4, dtype="f4")
        self._result = context.framebuffer([self._image, self._truth])
        corners = context.buffer(np.array([-1, -1, 3, -1, -1, 3], "f4").tobytes())
        self._programs = programs
        self._screen = {
            name: context.vertex_array(programs[name], [(corners, "2f", "corner")])
            for name in ("shade", "resolve")
        }

    def begin(self) -> None:
        """Clear the G-buffer and draw into it from now on."""
        self._surfaces.use()
        self._surfaces.clear(0, 0, 0, 0, depth=1.0)

    @contextlib.contextmanager
    def multiply_colour(self) -> Iterator[None]:
        """Multiply what is drawn inside onto the reflectance; keep all else."""
        keep, write = (False,) * 4, (True,) * 4
        multiply = (
            moderngl.ZERO, moderngl.SRC_COLOR, moderngl.ZERO, moderngl.ONE,
        )  # fmt: skip
        self._context.enable(moderngl.BLEND)
        self._context.blend_func = multiply  # pyright: ignore[reportAttributeAccessIssue]
        self._surfaces.depth_mask = False
        self._mask_writing((*write[:3], False), keep, keep)
        yield
        self._surfaces.depth_mask = True
        self._mask_writing(write, write, write)
        self._context.disable(moderngl.BLEND)

    def _mask_writing(self, *channels: tuple[bool, ...]) -> None:
        """Say which channels of the three maps are written."""
        self._surfaces.color_mask = channels  # pyright: ignore[reportAttributeAccessIssue]

    def finish(
        self, shadow: moderngl.Texture
    ) -> tuple[UInt8[np.ndarray, "size size 4"], Float[np.ndarray, "size size 4"]]:
        """Light and average; return the picture and distance, part, packed normal."""
        shade, resolve = self._programs["shade"], self._programs["resolve"]
        self._lit.use()
        for slot, texture in enumerate((*self._maps, self._depth, shadow)):
            texture.use(slot)
        names = ("colourMap", "normalMap", "extraMap", "depthMap", "shadowMap")
        for slot, name in enumerate(names):
            shade[name] = slot
        self._screen["shade"].render()
        self._result.use()
        for slot, (name, texture) in enumerate(
            (
                ("colourMap", self._maps[0]),
                ("lightMap", self._light),
                ("depthMap", self._depth),
                ("normalMap", self._maps[1]),
                ("extraMap", self._maps[2]),
            )
        ):
            texture.use(slot)
            resolve[name] = slot
        self._screen["resolve"].render()
        shape = (self._size, self._size, 4)
        image = np.frombuffer(self._image.read(), np.uint8).reshape(shape)
        truth = np.frombuffer(self._truth.read(), np.float32).reshape(shape)
        return np.ascontiguousarray(image[::-1]), np.ascontiguousarray(truth[::-1])


def make_noise(context: moderngl.Context) -> moderngl.Texture3D:
    """Return the tiling noise texture: two fine noises (r, a), two fractal (g, b)."""
    generator = np.random.default_rng(5)
    shape = (_NOISE_SIZE, _NOISE_SIZE, _NOISE_SIZE)

    def smooth(sigma: float) -> np.ndarray:
        white = generator.random(shape).astype(np.float32)
        field = gaussian_filter(white, sigma, mode="wrap")
        return (field - field.mean()) / field.std()

    def fractal() -> np.ndarray:
        octaves = zip((6.4, 3.2, 1.6, 0.8), (1, 0.5, 0.25, 0.125), strict=True)
        total = np.sum([weight * smooth(sigma) for sigma, weight in octaves], 0)
        return 0.47 + 0.085 * total

    channels = [
        0.5 + 0.17 * smooth(0.8),
        fractal(),
        fractal(),
        0.5 + 0.17 * smooth(0.8),
    ]
    texels = (np.clip(np.stack(channels, -1), 0, 1) * 255).astype(np.uint8)
    texture = context.texture3d(shape, 4, texels.tobytes())
    texture.build_mipmaps()
    texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
    return texture
