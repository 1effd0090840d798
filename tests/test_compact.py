"""Eight-bit weights: near enough, half as large, and damage is noticed."""

import pytest
import torch

from talk3d.compact import compacted, expanded


def _state():
    chance = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-3, 1, 64)[:, None, None, None]
    return {
        "conv": torch.randn(64, 32, 3, 3, generator=chance) * sizes,
        "planes": torch.randn(3, 8, 64, 64, generator=chance),
        "bias": torch.randn(64, generator=chance),
        "count": torch.arange(5),
    }


def test_values_return_within_half_a_step_of_their_row():
    state = _state()
    again = expanded(compacted(state))
    assert again.keys() == state.keys()
    step = state["conv"].flatten(1).abs().amax(1) / 127
    error = (again["conv"] - state["conv"]).flatten(1).abs().amax(1)
    assert (error <= 0.501 * step).all()
    assert (again["planes"] - state["planes"]).abs().max() < 0.03
    torch.testing.assert_close(again["bias"], state["bias"], rtol=1e-3, atol=1e-4)
    assert torch.equal(again["count"], state["count"])


def test_large_tensors_take_one_byte_a_value():
    small = compacted(_state())
    assert small["conv"].dtype == small["planes"].dtype == torch.int8
    assert small["bias"].dtype == torch.float16


def test_zeros_stay_zeros():
    state = {"weight": torch.zeros(64, 64, 3, 3)}
    assert expanded(compacted(state))["weight"].abs().max() == 0


def test_a_scale_of_another_shape_is_refused():
    small = compacted(_state())
    small["conv#scale"] = small["conv#scale"][:3]
    with pytest.raises(ValueError, match="scale of conv"):
        expanded(small)
