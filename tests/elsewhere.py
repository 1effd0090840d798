"""A card that is not there: tensors that say they lie on CUDA, with values on the CPU.

Inside ``PretendedCard`` whatever is sent or made there becomes an ``Elsewhere``, and
PyTorch's rules hold for it: it meets other tensors of the card and single numbers of
the CPU only, NumPy cannot read it, and a generator of the CPU draws nothing there. So
whole fits run, and where a real card would stop for a tensor on the wrong side, they
stop. How cards compute, and which kernels they lack, is not shown by this.
"""

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["CARD", "Elsewhere", "PretendedCard"]

CARD = torch.device("cuda")
_NUMBERS = {
    getattr(Tensor, name).__get__
    for name in ("shape", "dtype", "ndim", "requires_grad", "is_leaf", "layout")
} | {Tensor.size, Tensor.dim, Tensor.stride, Tensor.is_floating_point}
"""What is asked of a tensor wherever it lies."""


class Elsewhere(Tensor):
    """A tensor that says it lies on the card."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def device(self):
        return CARD

    @property
    def is_cuda(self):
        return True

    def __deepcopy__(self, memo):
        copied = _sent(_plain(self.detach()), CARD).requires_grad_(self.requires_grad)
        if isinstance(self, nn.Parameter):
            copied = nn.Parameter(copied, requires_grad=self.requires_grad)
        return memo.setdefault(id(self), copied)

    def __reduce_ex__(self, protocol):
        """Be written as what a state file is read as: a tensor of the CPU."""
        return _plain(self.detach()).__reduce_ex__(protocol)


class PretendedCard(TorchFunctionMode):
    """Sends tensors there and back, and refuses what a card refuses."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _NUMBERS:
            return func(*args, **kwargs)
        if func is Tensor.to:
            return _moved(*args, **kwargs)
        if func is Tensor.cpu:
            return _moved(args[0], "cpu")
        if func is torch._has_compatible_shallow_copy_type:
            return isinstance(args[0], Elsewhere) == isinstance(args[1], Elsewhere)
        there = _is_there(func, args, kwargs)
        if kwargs.get("device") is not None:
            there = torch.device(kwargs["device"]).type == CARD.type
            if there and kwargs.get("generator") is not None:
                raise RuntimeError("Expected a 'cuda' device type for generator")
            kwargs = kwargs | {"device": "cpu"}
        found = func(*args, **kwargs)
        return _all_sent(found) if there else found


def _is_there(func, args, kwargs):
    """Tell where a result lies, and refuse tensors that do not lie together."""
    tensors = [*_tensors(args), *_tensors(kwargs.values())]
    if not any(isinstance(x, Elsewhere) for x in tensors):
        return False
    if func in (Tensor.numpy, Tensor.__array__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")
    if func is Tensor.copy_:
        return isinstance(args[0], Elsewhere)
    if func in (Tensor.__getitem__, Tensor.__setitem__):
        tensors = [args[0], *(x for x in args[2:] if isinstance(x, Tensor))]
        if not isinstance(args[0], Elsewhere):
            raise RuntimeError("indices should be on the same device as the tensor")
    strict = func in (torch.stack, torch.cat)
    if any(not isinstance(x, Elsewhere) and (x.ndim or strict) for x in tensors):
        raise RuntimeError(
            f"Expected all tensors to be on the same device ({func.__name__})"
        )
    return True


def _moved(tensor, *args, **kwargs):
    """Do what ``Tensor.to`` does."""
    given = (*args, *kwargs.values())
    here = isinstance(tensor, Elsewhere)
    target, asked = (CARD if here else torch.device("cpu")), {}
    for value in given:
        if isinstance(value, Tensor):
            target, asked["dtype"] = value.device, value.dtype
        elif isinstance(value, (torch.device, str)):
            target = torch.device(value)
        elif isinstance(value, torch.dtype):
            asked["dtype"] = value
        elif isinstance(value, torch.memory_format):
            asked["memory_format"] = value
    changed = tensor.to(**asked) if asked else tensor
    return _sent(changed, target)


def _sent(tensor, target):
    """Return a tensor on a device: itself if it is there, else a copy."""
    there = target.type == CARD.type
    if there == isinstance(tensor, Elsewhere):
        return tensor
    copied = _plain(tensor).clone()
    return copied.as_subclass(Elsewhere) if there else copied


def _tensors(values):
    """Yield the tensors of nested arguments."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _all_sent(found):
    """Return a result of the card as tensors of the card, without copies."""
    if type(found) in (Tensor, nn.Parameter):
        return found.as_subclass(Elsewhere)
    if isinstance(found, (list, tuple)) and next(_tensors(found), None) is not None:
        parts = [_all_sent(part) for part in found]
        return parts if isinstance(found, list) else tuple(parts)
    return found


def _plain(tensor):
    return tensor.as_subclass(Tensor)
