"""Draw a synthetic person: colour with coverage, distance and part of every pixel.

Passes: shadow map of the key lamp; what each sample is made of (G-buffer); darkening
of the eyes under the lids; light; tone mapping and averaging. World units and labels
are those of ``talk3d.camera``.
"""

from types import TracebackType

import numpy as np
from jaxtyping import Float

from talk3d.neck import FADE, LEAN
from talk3d.synthetic.ambient import bake_occlusion, parallel_view
from talk3d.synthetic.buffers import GBuffer, HairBuffer, MeshBuffer, make_noise
from talk3d.synthetic.cards import join_cards
from talk3d.synthetic.facial_hair import BROW_SIZE, facial_cards
from talk3d.synthetic.gl import (
    load_program,
    moderngl,
    open_context,
    set_matrices,
    set_uniforms,
)
from talk3d.synthetic.head import (
    CM_PER_UNIT,
    LIPS_LOWER,
    LIPS_UPPER,
    PARTS,
    HeadModel,
    rotation,
    to_world,
)
from talk3d.synthetic.light import Light
from talk3d.synthetic.outfit import fit_collar, make_torso
from talk3d.synthetic.people import Person, pose_person
from talk3d.synthetic.regions import (
    BROW_WINDOW,
    MASK_SIZE,
    beard_field,
    face_masks,
    scalp_field,
)
from talk3d.synthetic.view import NECK_PIVOT, ClipCamera, Picture, Pose, head_motion

__all__ = ["Renderer"]

_SHADOW_SIZE = 1024
_LID_DARKENING = 0.8
_DRAWN = (
    "face", "headneck", "mouthsocket", "eyesocketL", "eyesocketR", "gumstongue",
    "teeth", "scleraL", "scleraR", "lashesL", "lashesR",
)  # fmt: skip
_MESH_SHADERS = {
    "mesh": ("mesh.vert", "mesh.frag"),
    "lids": ("mesh.vert", "occlusion.frag"),
    "worn": ("mesh.vert", "worn.frag"),
    "mesh shadow": ("mesh.vert", "depth.frag"),
}
_HAIR_SHADERS = {
    "hair": ("hair.vert", "hair.frag"),
    "hair shadow": ("hair.vert", "hair_shadow.frag"),
}
_SCREEN_SHADERS = {
    "shade": ("quad.vert", "shade.frag"),
    "resolve": ("quad.vert", "resolve.frag"),
}


class Renderer:
    """Holds the OpenGL context, the head model's buffers and one loaded person.

    Use as a context manager; several may be open at once.
    """

    def __init__(
        self, head: HeadModel, *, size: int = 256, oversample: int = 2
    ) -> None:
        """Open a context and upload the head model.

        Args:
            head: the head model of all people to be drawn.
            size: pixels per side.
            oversample: samples per pixel and axis.

        Raises:
            OSError: if there is no OpenGL.
        """
        self.head = head
        self.size = size
        self._oversample = oversample
        self._context = open_context()
        with self._context:
            self._build()

    def __enter__(self) -> "Renderer":
        """Return the renderer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the OpenGL context; the renderer cannot be used after this."""
        with self._context:
            self._context.gc()
        self._context.release()

    def _build(self) -> None:
        """Compile the shaders and upload the head model."""
        head = self.head
        self._context.disable(moderngl.CULL_FACE)
        shaders = _MESH_SHADERS | _HAIR_SHADERS | _SCREEN_SHADERS
        self._programs = {
            name: load_program(self._context, *files) for name, files in shaders.items()
        }
        self._noise = make_noise(self._context)
        masks = face_masks(head)
        self._masks = self._context.texture((MASK_SIZE, MASK_SIZE), 4, masks.tobytes())
        self._brows = self._context.texture((BROW_SIZE[1], BROW_SIZE[0]), 1)
        for texture in (self._masks, self._brows):
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        self._target = GBuffer(
            self._context, self._programs, self.size, self._oversample
        )
        self._shadow = self._context.depth_texture((_SHADOW_SIZE, _SHADOW_SIZE))
        self._shadow.compare_func = ""
        self._shadow.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self._shadow_target = self._context.framebuffer(depth_attachment=self._shadow)
        self._mesh = self._head_buffer(np.ones(len(head.neutral), np.float32))
        self._mesh = self._head_buffer(self._bake())
        self._worn: list[tuple[MeshBuffer, dict[str, object]]] = []
        self._hair: HairBuffer | None = None
        self._facial: HairBuffer | None = None
        self._person: Person | None = None

    def load(self, person: Person) -> None:
        """Upload a person; ``render`` then draws poses of it."""
        with self._context:
            self._load(person)
            self._context.gc()

    def _load(self, person: Person) -> None:
        self._person = person
        self._brows.write(person.facial.brow_texture.tobytes())
        self._brows.build_mipmaps()
        self._hair = (
            HairBuffer(self._context, self._programs, person.hair)
            if person.hair is not None
            else None
        )
        self._facial = None
        clothes = person.looks.clothes
        cloth = {
            "first": clothes.first,
            "second": clothes.second,
            "pattern": float(clothes.pattern),
            "headMoves": 0.0,
        }
        frame = {"first": clothes.frame, "pattern": -1.0, "headMoves": 1.0}
        self._worn = [
            (MeshBuffer.of_mesh(self._context, self._programs, mesh), look)
            for mesh, look in ((person.torso, cloth), (person.glasses, frame))
            if mesh is not None
        ]

    def render(
        self, pose: Pose, label: Float[np.ndarray, "25"], light: Light
    ) -> Picture:
        """Draw the loaded person.

        Args:
            pose: expression, gaze and turn of the head.
            label: camera in the head frame, as recorded; the head's turn against the
                torso is added here.
            light: lamps and surround, in world axes.

        Raises:
            ValueError: if no person is loaded.
        """
        if self._person is None:
            message = "no person is loaded: call Renderer.load first"
            raise ValueError(message)
        vertices = pose_person(self.head, self._person, pose.expression, pose.gaze)
        motion = head_motion(pose.turn)
        camera = ClipCamera.of_label(label, motion)
        with self._context:
            self._upload(self._person, vertices)
            self._set_pose(self._person, pose, vertices, motion)
            to_shadow = self._draw_shadow(light)
            self._draw_surfaces(camera)
            self._set_light(camera, to_shadow, light)
            image, surface = self._target.finish(self._shadow)
        return Picture(
            image=image,
            distance=np.ascontiguousarray(surface[..., 0]),
            normal=_unpack(surface, pose.turn),
            part=np.round(surface[..., 1]).astype(np.uint8),
        )

    def _bake(self) -> Float[np.ndarray, " vertices"]:
        """Measure the ambient occlusion of the mean head above a torso."""
        head, program = self.head, self._programs["mesh shadow"]
        self._mesh.move(head.neutral, head.normals(head.neutral))
        torso = make_torso(fit_collar(head, head.neutral))
        chest = MeshBuffer.of_mesh(self._context, self._programs, torso)
        set_matrices(program, {"headTurn": np.eye(3)})
        set_uniforms(program, {"headMoves": 0.0, "shell": 0.0})
        return bake_occlusion(self._context, program, head, [self._mesh, chest])

    def _head_buffer(self, occlusion: Float[np.ndarray, " vertices"]) -> MeshBuffer:
        head = self.head
        regions = np.stack(
            [occlusion, scalp_field(head), beard_field(head), head.ear], 1
        )
        groups = {
            "mesh": np.isin(head.triangle_part, [PARTS.index(p) for p in _DRAWN]),
            "lids": np.isin(
                head.triangle_part, [PARTS.index(f"eyeoccl{s}") for s in "LR"]
            ),
            "mesh shadow": head.triangle_part <= PARTS.index("headneck"),
        }
        return MeshBuffer.of_head(
            self._context, self._programs, head, regions=regions, groups=groups
        )

    def _upload(self, person: Person, vertices: np.ndarray) -> None:
        normals = self.head.normals(vertices)
        self._mesh.move(vertices, normals, self.head.hollows(vertices, normals))
        cards = join_cards(facial_cards(person.facial, vertices))
        if cards is None:
            return
        if self._facial is None:
            self._facial = HairBuffer(self._context, self._programs, cards)
        else:
            self._facial.move(cards)

    def _set_pose(
        self, person: Person, pose: Pose, vertices: np.ndarray, motion: np.ndarray
    ) -> None:
        """Tell the shaders about the person, the eyes and the mouth."""
        looks, head = person.looks, self.head
        skin, eyes, hair = looks.skin, looks.eyes, looks.hair
        moved = motion[:3, :3], motion[:3, 3]

        def place(points: np.ndarray) -> np.ndarray:
            return to_world(points) @ moved[0].T + moved[1]

        gaze = pose.gaze.reshape(2, 2).tolist()
        turns = np.stack([moved[0] @ rotation(yaw, pitch) for yaw, pitch in gaze])
        teeth = head.vertex_part == PARTS.index("teeth")
        mesh = self._programs["mesh"]
        set_uniforms(
            mesh,
            {
                "skinColour": skin.colour, "lipColour": skin.lips,
                "hairColour": hair.colour, "browColour": hair.brow_colour,
                "blush": skin.blush, "freckles": skin.freckles, "mottle": skin.mottle,
                "underEye": skin.under_eye, "wrinkles": skin.wrinkles,
                "eyeShadow": skin.eye_shadow, "oil": skin.oil, "stubble": skin.stubble,
                "skinOffset": skin.offset, "scalpPaint": hair.scalp_paint,
                "scalpShade": hair.scalp_shade, "collar": np.array(person.collar),
                "browWindow": np.array(BROW_WINDOW),
                "eyeCentre": place(head.eye_centres(person.shape)),
                "irisOuter": eyes.outer, "irisInner": eyes.inner, "pupil": eyes.pupil,
                "irisRadius": eyes.iris_radius, "lashLength": eyes.lashes,
                "lipCentre": place(vertices[head.landmarks[[60, 62, 64, 66]]].mean(0)),
                "lipGap": head.gap(vertices, LIPS_UPPER, LIPS_LOWER),
                "toothHeight": float(head.neutral[teeth, 1].mean()),
            },
        )  # fmt: skip
        set_matrices(mesh, {"eyeTurn": turns, "mouthTurn": moved[0]})
        for name in (*_MESH_SHADERS, *_HAIR_SHADERS):
            program = self._programs[name]
            set_matrices(program, {"headTurn": pose.turn})
            crop = {"shell": hair.shell / CM_PER_UNIT, "hairline": hair.hairline}
            pivot = {"headPivot": to_world(NECK_PIVOT), "headMoves": 1.0}
            fade = {"neckFade": FADE, "neckLean": LEAN}
            set_uniforms(program, crop | pivot | fade)

    def _draw_shadow(self, light: Light) -> np.ndarray:
        """Draw the key lamp's shadow map; return its projection."""
        to_shadow = parallel_view(light.directions[0])
        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        self._context.enable(moderngl.DEPTH_TEST)
        mesh, hair = self._programs["mesh shadow"], self._programs["hair shadow"]
        for program in (mesh, hair):
            set_matrices(program, {"toClip": to_shadow})
        self._mesh.draw("mesh shadow")
        for worn, look in self._worn:
            set_uniforms(mesh, {"headMoves": look["headMoves"], "shell": 0.0})
            worn.draw("mesh shadow")
        if self._hair is not None:
            self._hair.draw_half("hair shadow")
        return to_shadow

    def _draw_surfaces(self, camera: ClipCamera) -> None:
        """Fill the G-buffer."""
        context, programs = self._context, self._programs
        self._target.begin()
        self._noise.use(0)
        self._masks.use(1)
        self._brows.use(2)
        for name in ("mesh", "lids", "worn", "hair"):
            set_matrices(programs[name], {"toClip": camera.to_clip})
            set_uniforms(programs[name], {"camera": camera.position})
            set_uniforms(programs[name], {"noise": 0, "faceMasks": 1, "browMask": 2})
        self._mesh.draw("mesh")
        for worn, look in self._worn:
            set_uniforms(programs["worn"], look | {"shell": 0.0})
            worn.draw("worn")
        for hair in (self._hair, self._facial):
            if hair is not None:
                hair.draw("hair")
        set_uniforms(programs["lids"], {"strength": _LID_DARKENING})
        with self._target.multiply_colour():
            self._mesh.draw("lids")
        context.disable(moderngl.DEPTH_TEST)

    def _set_light(
        self, camera: ClipCamera, to_shadow: np.ndarray, light: Light
    ) -> None:
        shade, resolve = self._programs["shade"], self._programs["resolve"]
        for program in (shade, resolve):
            set_matrices(program, {"fromClip": np.linalg.inv(camera.to_clip)})
            set_uniforms(program, {"camera": camera.position})
        set_matrices(shade, {"toShadow": to_shadow})
        set_uniforms(
            shade,
            {
                "lampDirection": light.directions,
                "lampColour": light.colours,
                "surround": light.surround,
                "softness": light.softness,
            },
        )
        set_uniforms(
            resolve, {"oversample": self._oversample, "exposure": light.exposure}
        )


def _unpack(
    surface: Float[np.ndarray, "size size 4"], turn: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "size size 3"]:
    """Return normals from octahedral coordinates, turned back with the head."""
    x, y = np.moveaxis(surface[..., 2:] * 2 - 1, -1, 0)
    z = 1 - np.abs(x) - np.abs(y)
    fold = np.maximum(-z, 0)
    normal = np.stack([x - np.copysign(fold, x), y - np.copysign(fold, y), z], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal[surface[..., 1] < 0.5] = 0
    return (normal @ turn).astype(np.float32)
