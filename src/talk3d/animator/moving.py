"""Tri-planes that move: the generator's own motion and the animator's offset.

The generator knows what expressions do to any face; lips, lids and brows drive it
through its style vectors. The U-Net adds what this person does besides. At work,
everything but the face rests. Comes in: what drives some frames. Goes out: the style
vectors and planes of these frames.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.animator.model import Animator, DrivingBatch
from talk3d.animator.reach import face_reach
from talk3d.animator.unet import Encoded
from talk3d.lips import UPPER_NUMBERS, face_numbers
from talk3d.person import Person
from talk3d.precision import body_precision

__all__ = ["Moving"]


@dataclass(frozen=True)
class Moving:
    """A person and an animator, ready to move."""

    person: Person
    """The personalised generator."""
    animator: Animator
    """The U-Net and its tokens."""
    encoded: Encoded
    """What the U-Net knows of the person."""
    half: bool = True
    """Run convolutions in bfloat16 where the device has it in hardware."""
    rest: tuple[Tensor, Tensor] | None = None
    """Style vectors and coarse planes of all that is not the face; none: as driven."""

    @classmethod
    @torch.no_grad()
    def of(cls, person: Person, animator: Animator, rest: DrivingBatch) -> "Moving":
        """Return them at work: ``rest`` (one frame) drives all but the face, always."""
        device = person.z.device
        with body_precision(device):
            planes = person.generator.planes(person.neutral())[0]
            free = cls(person, animator, animator.encode(planes))
        return replace(free, rest=free._coarse(rest.to(device), None))

    def planes(
        self, driving: DrivingBatch, tokens: Float[Tensor, "batch 5 d"] | None = None
    ) -> tuple[Float[Tensor, "batch layers w"], Float[Tensor, "batch 3 c fine fine"]]:
        """Return style vectors and planes of some frames.

        Args:
            driving: what drives them.
            tokens: the animator's tokens, if not those of ``driving``.
        """
        w, moved = self._coarse(driving, tokens)
        if self.rest is not None:
            still, planes = self.rest
            rules = self.person.generator.config.volume
            reach = face_reach(moved.shape[-1], rules.axes, rules.box).to(moved)
            w, moved = still.expand_as(w), planes.lerp(moved, reach)
        return w, self.person.refined(moved)

    def _coarse(
        self, driving: DrivingBatch, tokens: Float[Tensor, "batch 5 d"] | None
    ) -> tuple[Float[Tensor, "batch layers w"], Float[Tensor, "batch 3 c size size"]]:
        """Return style vectors and planes without the person's fine detail."""
        person, (upper, gaze) = self.person, driving.eye.split((UPPER_NUMBERS, 4), 1)
        with body_precision(person.z.device, self.half):
            with torch.no_grad():
                face = face_numbers(driving.audio, upper)
                w = person.styles(face, gaze)
                base = person.generator.planes(w)
            if tokens is None:
                tokens = self.animator.tokens(driving).float()
            offset = self.animator.decode(self.encoded, tokens).float()
        return w, base + offset
