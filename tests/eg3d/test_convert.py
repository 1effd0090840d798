"""Importing published pickles: exact weights, nothing executed."""

import collections
import io
import os
import pickle
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from talk3d import checkpoint
from talk3d.eg3d import convert, official
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.volume import PLANE_AXES


@pytest.fixture(scope="module")
def network(eg3d_small):
    return official.read_official(eg3d_small / "official.pkl")


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def _written(path, content):
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def test_the_weights_are_exact(network, eg3d_small):
    wanted = load_file(eg3d_small / "state.safetensors")
    assert set(network.state) == set(wanted)
    for name, value in wanted.items():
        assert network.state[name].dtype == value.dtype, name
        assert torch.equal(network.state[name], value), name


def test_the_settings_are_read(network, eg3d_small):
    import json

    with safe_open(eg3d_small / "state.safetensors", framework="pt") as file:
        metadata = file.metadata()
    for name in ("rendering_kwargs", "neural_rendering_resolution"):
        assert network.attributes[name] == json.loads(metadata[name])
    assert network.attributes["_init_kwargs"] == json.loads(metadata["init_kwargs"])
    assert network.class_name == "TriPlaneGenerator"


def test_the_other_networks_differ(network, eg3d_small):
    other = official.read_official(eg3d_small / "official.pkl", network="G")
    assert set(other.state) == set(network.state)
    name = "decoder.net.0.weight"
    assert not torch.equal(other.state[name], network.state[name])
    critic = official.read_official(eg3d_small / "official.pkl", network="D")
    assert "b4.out.weight" in critic.state


def test_an_imported_file_loads(eg3d_small, network, tmp_path):
    out = tmp_path / "prior.safetensors"
    config = convert.import_official(eg3d_small / "official.pkl", out)
    assert config.volume.axes == "official"
    assert config.neural_size == 32
    generator = load_generator(out)
    assert generator.config == config
    state = generator.state_dict()
    for name, value in network.state.items():
        if name != "dataset_label_std":
            assert torch.equal(state[name], value), name
    header = checkpoint.read_header(out)
    sha256 = checkpoint.file_sha256(eg3d_small / "official.pkl")
    assert header["parents"] == {"official": sha256}
    assert "non-commercial" in header["licence"]


def test_plane_axes_can_be_chosen(network):
    for axes in PLANE_AXES:
        config = convert.official_config(network, plane_axes=axes)
        assert config.volume.axes == axes


@pytest.mark.parametrize("axes", ["official", "xy_xz_zy"])
def test_stored_axis_vectors_name_the_convention(axes):
    basis = torch.eye(3)
    rows = []
    for a, b in PLANE_AXES[axes]:
        rows.append(torch.stack([basis[a], basis[b], basis[3 - a - b]]))
    assert convert._stored_axes(torch.stack(rows)) == axes


@pytest.mark.parametrize("stored", [None, torch.zeros(3, 3, 3), torch.zeros(2)])
def test_silent_axes_must_be_given(stored):
    with pytest.raises(ValueError, match="give plane_axes as one of official"):
        convert._stored_axes(stored)


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "(posix|nt).system"),
        (eval, ("open('{}', 'w')",), "builtins.eval"),
        (exec, ("open('{}', 'w')",), "builtins.exec"),
        (getattr, (torch, "load"), "builtins.getattr"),
        (torch.load, ("{}",), "torch.serialization.load"),
        (pickle.loads, (b"N.",), "_pickle.loads"),
        (torch.set_num_threads, (1,), "torch.*set_num_threads"),
    ],
)
def test_a_hostile_pickle_is_named_and_not_run(tmp_path, function, arguments, name):
    trace = tmp_path / "trace"
    arguments = tuple(
        a.format(trace) if isinstance(a, str) else ("G_ema" if a is torch else a)
        for a in arguments
    )
    path = _written(tmp_path / "x.pkl", {"G_ema": _Call(function, *arguments)})
    with pytest.raises(ValueError, match=f"asks for {name}"):
        official.read_official(path)
    assert not trace.exists()


def _global(module, name, arguments):
    """Write by hand a pickle that calls module.name with one bytes argument."""
    return (
        b"\x80\x04c"
        + f"{module}\n{name}\n".encode()
        + b"B"
        + struct.pack("<I", len(arguments))
        + arguments
        + b"\x85R."
    )


def test_a_hostile_storage_inside_is_refused(tmp_path):
    trace = tmp_path / "trace"
    blob = io.BytesIO()
    torch.save(_Call(os.mkdir, str(trace)), blob, _use_new_zipfile_serialization=False)
    path = tmp_path / "x.pkl"
    path.write_bytes(_global("torch.storage", "_load_from_bytes", blob.getvalue()))
    with pytest.raises(ValueError, match="is not an EG3D network pickle"):
        official.read_official(path)
    assert not trace.exists()


def test_a_hostile_extension_or_class_cannot_be_reached(tmp_path):
    for text in (b"\x80\x04cos\nsystem\n.", b"\x80\x04\x8c\x02os\x8c\x06system\x93."):
        path = tmp_path / "x.pkl"
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"asks for os.system"):
            official.read_official(path)


def test_setting_attributes_on_known_names_does_not_last(tmp_path, eg3d_small):
    # BUILD on a class: {} and {"__setstate__": None} as slot state.
    path = tmp_path / "x.pkl"
    path.write_bytes(
        b"\x80\x04cdnnlib.util\nEasyDict\nN}\x8c\x0c__setstate__Ns\x86b0N."
    )
    with pytest.raises(ValueError, match="is not an EG3D network pickle"):
        official.read_official(path)
    official.read_official(eg3d_small / "official.pkl")


def test_a_tensor_beyond_its_storage_is_refused():
    flat = torch.zeros(4)
    for size, stride, offset in (((5,), (1,), 0), ((2, 2), (0, 4), 0), ((4,), (1,), 1)):
        with pytest.raises((ValueError, RuntimeError)):
            official._tensor(flat, offset, size, stride)
    with pytest.raises(ValueError, match="1000000000000 numbers"):
        official._tensor(flat, 0, (10**6, 10**6), (0, 0))


@pytest.mark.parametrize(
    "content", [{}, {"G_ema": 3}, collections.OrderedDict(a=1), [1, 2]]
)
def test_other_pickles_are_refused(tmp_path, content):
    path = _written(tmp_path / "x.pkl", content)
    with pytest.raises(ValueError, match="holds no network G_ema"):
        official.read_official(path)


def test_damage_is_reported(tmp_path, eg3d_small):
    data = (eg3d_small / "official.pkl").read_bytes()
    for part in (b"", b"nonsense", data[: len(data) // 2]):
        path = tmp_path / "x.pkl"
        path.write_bytes(part)
        with pytest.raises(ValueError, match="is not an EG3D network pickle"):
            official.read_official(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no network pickle at"):
        official.read_official(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"disparity_space_sampling": True}, "disparity_space_sampling = True"),
        ({"density_noise": 0.5}, "density_noise = 0.5"),
        ({"superresolution_noise_mode": "random"}, "noise_mode = 'random'"),
    ],
)
def test_unsupported_settings_are_named(network, change, message):
    changed = official.OfficialNetwork(
        class_name=network.class_name,
        state=network.state,
        attributes=network.attributes
        | {"rendering_kwargs": network.attributes["rendering_kwargs"] | change},
        modules=network.modules,
        plane_axes=network.plane_axes,
    )
    with pytest.raises(ValueError, match=message):
        convert.official_config(changed)


def test_settings_reach_the_configuration(network):
    settings = network.attributes["rendering_kwargs"] | {
        "ray_start": "auto",
        "ray_end": "auto",
        "white_back": True,
        "box_warp": 1.6,
    }
    del settings["c_scale"]
    changed = official.OfficialNetwork(
        class_name=network.class_name,
        state=network.state,
        attributes=network.attributes | {"rendering_kwargs": settings},
        modules=network.modules,
        plane_axes=network.plane_axes,
    )
    config = convert.official_config(changed)
    assert config.volume.interval is None
    assert config.volume.background == "white"
    assert config.volume.box == 1.6
    # An absent c_scale means zero in the published code.
    assert config.condition_scales == (0.0,)
