import json
from dataclasses import asdict

import torch

from talk3d.animator.model import Animator, AnimatorConfig, DrivingBatch

CONFIG = AnimatorConfig.tiny()


def make_animator(seed: int = 0) -> Animator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        animator = Animator(CONFIG)
        torch.nn.init.normal_(animator.unet.head.weight, std=0.05)
    return animator


def make_identity() -> torch.Tensor:
    return torch.randn(3, 8, 32, 32, generator=torch.Generator().manual_seed(1))


def make_batch(audio: torch.Tensor) -> DrivingBatch:
    generator = torch.Generator().manual_seed(2)
    eye, rotation, landmark = (
        torch.rand(len(audio), k, generator=generator) for k in (9, 3, 6)
    )
    return DrivingBatch(audio=audio, eye=eye, rotation=rotation, landmark=landmark)


def make_audio(batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, 8, generator=generator)


def test_driving_to_offset() -> None:
    animator = make_animator()
    encoded = animator.encode(make_identity())
    tokens = animator.tokens(make_batch(make_audio()))
    delta = animator.decode(encoded, tokens)
    assert delta.shape == (2, 3, 8, 32, 32)
    assert animator.attention(encoded, tokens).shape[-1] == tokens.shape[1] == 5


def test_a_configuration_survives_json() -> None:
    for config in (CONFIG, AnimatorConfig()):
        assert AnimatorConfig.from_json(json.loads(json.dumps(asdict(config)))) == (
            config
        )


def test_weights_rebuild_the_animator() -> None:
    animator = make_animator()
    other = make_animator(seed=7)
    other.load_state_dict(animator.state_dict(), strict=True)
    batch, identity = make_batch(make_audio()), make_identity()
    one, two = (
        a.decode(a.encode(identity), a.tokens(batch)) for a in (animator, other)
    )
    assert torch.equal(one, two)
    assert all(v.dtype == torch.float32 for v in animator.state_dict().values())


def test_the_same_seed_builds_and_answers_the_same() -> None:
    batch, identity = make_batch(make_audio()), make_identity()
    one, two = (
        a.decode(a.encode(identity), a.tokens(batch))
        for a in (make_animator(), make_animator())
    )
    assert torch.equal(one, two)


def test_one_answer_does_not_change_the_next() -> None:
    animator = make_animator()
    encoded = animator.encode(make_identity())
    loud, quiet = make_batch(make_audio()), make_batch(0 * make_audio())
    first = animator.decode(encoded, animator.tokens(quiet))
    animator.decode(encoded, animator.tokens(loud))
    animator.attention(encoded, animator.tokens(loud))
    assert torch.equal(animator.decode(encoded, animator.tokens(quiet)), first)


def test_the_default_size() -> None:
    animator = Animator(AnimatorConfig())
    count = sum(p.numel() for p in animator.parameters())
    # An animator of 3 M weights is 6 MB in half precision.
    assert 2e6 < count < 3.5e6
