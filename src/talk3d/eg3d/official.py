"""Reading published EG3D network pickles without executing anything.

Comes in: a pickle in the published format. Goes out: the weights of one network and
the settings stored beside them. A pickle may ask for any Python object; this reader
knows a short list of names, gives harmless records for them and refuses all others.
Source texts inside the file are ignored, storages are read by ``torch.load`` with
``weights_only``.
"""

import io
import math
import pickle
import struct
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["OfficialNetwork", "read_official"]

_RECORDS = (
    ("dnnlib.util", "EasyDict"),
    ("training.triplane", "OSGDecoder"),
    ("training.volumetric_rendering.renderer", "ImportanceRenderer"),
    ("training.volumetric_rendering.ray_marcher", "MipRayMarcher2"),
    ("training.volumetric_rendering.ray_sampler", "RaySampler"),
    ("torch.nn.modules.container", "Sequential"),
    ("torch.nn.modules.activation", "Softplus"),
)
_SCALARS = {"b1": "?", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}


@dataclass(frozen=True)
class OfficialNetwork:
    """One network of a published file."""

    class_name: str
    """Name of its class in the published code."""
    state: dict[str, Tensor]
    """Weights and buffers by name."""
    attributes: dict[str, Any]
    """Plain attributes of the network, among them its settings."""
    modules: dict[str, str]
    """Class names of its direct parts."""
    plane_axes: Tensor | None
    """What the renderer stores about the planes: rows are axis vectors."""


def read_official(path: Path, *, network: str = "G_ema") -> OfficialNetwork:
    """Read one network of a published pickle.

    Args:
        path: the file.
        network: ``G_ema`` (the one to use), ``G`` or ``D``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file asks for something an EG3D network does not need, or
            is damaged, or has no such network.
    """
    if not path.is_file():
        message = f"no network pickle at {path}: check the name"
        raise FileNotFoundError(message)
    with path.open("rb") as file:
        try:
            content = _Reader(file).load()
        except _ForbiddenError as error:
            message = (
                f"{path} asks for {error}, which an EG3D network does not need:"
                " nothing of it was run or loaded; get the file from its publisher"
            )
            raise ValueError(message) from error
        except (
            pickle.UnpicklingError,
            EOFError,
            AttributeError,
            IndexError,
            KeyError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            message = f"{path} is not an EG3D network pickle, or is damaged: {error}"
            raise ValueError(message) from error
    found = content.get(network) if isinstance(content, dict) else None
    if not isinstance(found, _Record):
        message = f"{path} holds no network {network}: give a published EG3D pickle"
        raise ValueError(message)
    return _network(found)


class _ForbiddenError(Exception):
    """The pickle names an object that is not on the list."""


class _Record(dict[Any, Any]):
    """An object of an unknown class: its name and its attributes."""

    class_name = ""

    def __init__(self, *_: object) -> None:
        super().__init__()
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.attributes = dict(state)


class _Reader(pickle.Unpickler):
    """Unpickler with a closed list of names.

    Classes the file can reach are made afresh for every file, so setting attributes
    on them changes nothing that outlives the reading.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(file)
        self._known: dict[tuple[str, str], Callable[..., Any]] = {
            pair: _record_class(pair[1]) for pair in _RECORDS
        }
        persistent = _record_class("")

        def reconstruct(meta: dict[str, Any]) -> _Record:
            record = persistent()
            record.attributes = dict(meta["state"])
            record.attributes["class_name"] = str(meta["class_name"])
            return record

        self._known |= {
            ("collections", "OrderedDict"): _subclass(OrderedDict),
            ("torch_utils.persistence", "_reconstruct_persistent_obj"): reconstruct,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch.storage", "_load_from_bytes"): _storage,
            ("numpy", "dtype"): _dtype_class(),
            ("numpy._core.multiarray", "scalar"): _scalar,
            ("numpy.core.multiarray", "scalar"): _scalar,
        }

    def find_class(self, module: str, name: str, /) -> Callable[..., Any]:
        """Return the stand-in for a name on the list.

        Raises:
            _ForbiddenError: for any other name.
        """
        try:
            return self._known[module, name]
        except KeyError:
            message = f"{module}.{name}"
            raise _ForbiddenError(message) from None


def _record_class(name: str) -> type[_Record]:
    return type("_Stored", (_Record,), {"class_name": name})


def _subclass(base: type) -> type:
    return type(base.__name__, (base,), {})


def _dtype_class() -> type[_Record]:
    """Return a record that keeps the code of a numpy dtype."""

    def remember(self: _Record, code: str, *_: object) -> None:
        _Record.__init__(self)
        self.attributes["code"] = code

    return type("_Dtype", (_Record,), {"__init__": remember, "__setstate__": _ignore})


def _ignore(_: _Record, __: object) -> None:
    """Forget the byte order: all published files are little-endian."""


def _scalar(kind: _Record, data: bytes) -> float | int | bool:
    return struct.unpack("<" + _SCALARS[kind.attributes["code"]], data)[0]


def _storage(data: bytes) -> Tensor:
    """Return a storage as a flat tensor."""
    loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
        return torch.empty(0, dtype=loaded.dtype).set_(loaded.untyped())


def _tensor(
    flat: Tensor,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *_: object,
) -> Tensor:
    if math.prod(size) > flat.numel():
        message = f"a tensor of {math.prod(size)} numbers has {flat.numel()} stored"
        raise ValueError(message)
    return flat.as_strided(size, stride, offset).clone()


def _network(record: _Record) -> OfficialNetwork:
    attributes = {
        name: _plain(value)
        for name, value in record.attributes.items()
        if name in ("_init_kwargs", "class_name") or not name.startswith("_")
    }
    parts = record.attributes.get("_modules", {})
    renderer = parts.get("renderer")
    axes = renderer.attributes.get("plane_axes") if renderer is not None else None
    return OfficialNetwork(
        class_name=_class_name(record),
        state=dict(_walk(record, "")),
        attributes=attributes,
        modules={name: _class_name(part) for name, part in parts.items()},
        plane_axes=axes,
    )


def _class_name(record: _Record) -> str:
    return record.attributes.get("class_name", record.class_name)


def _walk(record: _Record, prefix: str) -> list[tuple[str, Tensor]]:
    """Return the state dict of a module: parameters, buffers, then its parts."""
    found = []
    hidden = record.attributes.get("_non_persistent_buffers_set", ())
    for kind in ("_parameters", "_buffers"):
        for name, value in record.attributes.get(kind, {}).items():
            if isinstance(value, Tensor) and name not in hidden:
                found.append((prefix + name, value))
    for name, part in record.attributes.get("_modules", {}).items():
        if isinstance(part, _Record):
            found += _walk(part, f"{prefix}{name}.")
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Turn stored containers into ordinary ones."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
