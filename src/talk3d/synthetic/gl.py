"""OpenGL without a window: context, shader programs, uniforms.

Shaders lie beside this file in ``shaders``; ``#include "name"`` is replaced by the
file of that name.
"""

import re
from collections.abc import Mapping
from importlib import resources

import numpy as np

try:
    import moderngl
except ImportError as error:
    message = "rendering synthetic people needs moderngl: install talk3d[synth]"
    raise ImportError(message) from error

__all__ = [
    "load_program",
    "moderngl",
    "open_context",
    "set_matrices",
    "set_uniforms",
    "source",
]

_INCLUDE = re.compile(r'^#include "([a-z_]+\.glsl)"$', re.MULTILINE)


def open_context() -> moderngl.Context:
    """Open an OpenGL 3.3 context through EGL; a software driver is enough.

    Objects that are no longer used wait for the context's ``gc``: another context may
    be current when Python drops them.

    Raises:
        OSError: if a driver is missing.
    """
    try:
        context = moderngl.create_context(
            standalone=True,
            require=330,
            backend="egl",  # pyright: ignore[reportArgumentType]
        )
    except Exception as error:
        message = (
            f"rendering synthetic people needs OpenGL 3.3 through EGL ({error}):"
            " install talk3d[synth] and a driver, on Debian libegl1 and"
            " libgl1-mesa-dri"
        )
        raise OSError(message) from error
    context.gc_mode = "context_gc"
    return context


def source(name: str) -> str:
    """Return a shader's text with its includes."""
    folder = resources.files("talk3d.synthetic") / "shaders"
    text = (folder / name).read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda match: source(match.group(1)), text)


def load_program(
    context: moderngl.Context, vertex: str, fragment: str
) -> moderngl.Program:
    """Compile a program from two shader files."""
    return context.program(
        vertex_shader=source(vertex), fragment_shader=source(fragment)
    )


def set_uniforms(program: moderngl.Program, values: Mapping[str, object]) -> None:
    """Set scalars and vectors; names the program does not use are passed over."""
    for name, value in values.items():
        if name not in program:
            continue
        if isinstance(value, int | float):
            program[name] = value
        else:
            program[name].write(np.asarray(value, np.float32).tobytes())  # pyright: ignore[reportAttributeAccessIssue]


def set_matrices(program: moderngl.Program, values: Mapping[str, object]) -> None:
    """Set matrices, or stacks of them, given in row-major order."""
    transposed = {
        name: np.ascontiguousarray(np.swapaxes(np.asarray(value, np.float32), -1, -2))
        for name, value in values.items()
    }
    set_uniforms(program, transposed)
