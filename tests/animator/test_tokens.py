import torch

from talk3d.animator.tokens import (
    TOKENS,
    TokenConfig,
    Tokenizer,
    perturb_tokens,
)

CONFIG = TokenConfig.tiny()


def make_tokenizer(config: TokenConfig = CONFIG, seed: int = 0) -> Tokenizer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tokenizer(config)


def make_inputs(batch: int = 3, seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    return {
        "audio": 4 * draw(batch, 8) - 2,
        "eye": draw(batch, 9),
        "rotation": draw(batch, 3) - 0.5,
        "landmark": draw(batch, 6) - 0.5,
    }


def test_each_driver_moves_its_own_token_only() -> None:
    tokenizer, inputs = make_tokenizer(), make_inputs()
    base = tokenizer(**inputs)
    assert base.shape == (3, 5, CONFIG.width)
    for name, value in inputs.items():
        moved = (tokenizer(**{**inputs, name: value + 0.3}) - base).abs().amax((0, 2))
        for index, token in enumerate(TOKENS):
            if token == name:
                assert moved[index] > 1e-3
            else:
                assert moved[index] == 0, (name, token)


def test_driven_tokens_have_mean_zero_and_deviation_one() -> None:
    tokens = make_tokenizer()(**make_inputs())[:, :-1]
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(3, 4), atol=1e-5, rtol=0)
    # The normalisation's epsilon of 1e-5 against a variance of order 0.1.
    spread = tokens.std(-1, correction=0)
    torch.testing.assert_close(spread, torch.ones(3, 4), atol=1e-3, rtol=0)


def test_the_null_token_is_the_same_for_every_frame() -> None:
    tokens = make_tokenizer()(**make_inputs())
    assert torch.equal(tokens[0, -1], tokens[2, -1])


def test_tracking_noise_moves_a_token_less_than_real_motion() -> None:
    # A blink label trembles by 0.03; shutting the eyes must stand out by far.
    tokenizer, inputs = make_tokenizer(TokenConfig()), make_inputs()
    base = torch.zeros(3, 9)
    shut = base.clone()
    shut[:, :2] = 1
    tremble = base.clone()
    tremble[:, :2] = 0.03
    at = [tokenizer(**{**inputs, "eye": eye})[0, 1] for eye in (base, tremble, shut)]
    assert (at[1] - at[0]).norm() < 0.2 * (at[2] - at[0]).norm()


def test_frames_are_encoded_one_by_one() -> None:
    tokenizer, inputs = make_tokenizer(), make_inputs()
    together = tokenizer(**inputs)
    alone = torch.cat(
        [tokenizer(**{k: v[i : i + 1] for k, v in inputs.items()}) for i in range(3)]
    )
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    tokenizer = make_tokenizer()
    weights = torch.randn(
        3, 5, CONFIG.width, generator=torch.Generator().manual_seed(3)
    )
    (tokenizer(**make_inputs()) * weights).sum().backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-6, name


def test_perturbing_needs_no_global_chance_and_repeats() -> None:
    tokens = make_tokenizer()(**make_inputs())
    state = torch.random.get_rng_state()
    one, two = (
        perturb_tokens(tokens, noise=0.1, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, tokens)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_perturbing_by_nothing_changes_nothing() -> None:
    tokens = make_tokenizer()(**make_inputs())
    generator = torch.Generator().manual_seed(5)
    same = perturb_tokens(tokens, noise=0.0, generator=generator)
    torch.testing.assert_close(same, tokens, rtol=0, atol=0)


def test_noise_has_the_asked_deviation_and_spares_the_null_token() -> None:
    tokens = make_tokenizer()(**make_inputs()).detach().repeat(700, 1, 1)
    generator = torch.Generator().manual_seed(5)
    changed = perturb_tokens(tokens, noise=0.5, generator=generator)
    assert torch.equal(changed[:, -1:], tokens[:, -1:])
    assert abs((changed - tokens)[:, :-1].std().item() - 0.5) < 0.01
