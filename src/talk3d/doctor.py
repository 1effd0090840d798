"""What this machine can do, and what to install for more."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["examine"]


def examine() -> Iterator[str]:
    """Yield one sentence per finding."""
    import torch

    from talk3d.device import CPU, best_device
    from talk3d.face_models import model_files
    from talk3d.precision import bfloat16_is_fast

    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    yield f"python {sys.version.split()[0]}, torch {torch.__version__}, {cores} cores"
    best = best_device()
    if best == CPU:
        yield "CUDA: none; everything runs on the CPU"
    else:
        name = torch.cuda.get_device_name(best)
        yield f"CUDA: {name}; avatars are made and shown on it, all else on the CPU"
    for device in dict.fromkeys((best, CPU)):
        fast = bfloat16_is_fast(device)
        speed = "yes, networks run in it" if fast else "no, float32 is used"
        yield f"bfloat16 in hardware ({device.type}): {speed}"
    try:
        yield f"face networks: {model_files(offline=True)}"
    except (OSError, ValueError):
        yield "face networks: not here yet; fetched at the first create"
    if importlib.util.find_spec("moderngl") is None:
        yield "synthetic people: no; pip install 'talk3d[synth]'"
    else:
        yield f"synthetic people: {_opengl()}"
    if shutil.which("espeak-ng") is None:
        yield "synthetic voices: no; install espeak-ng"
    else:
        yield "synthetic voices: yes, espeak-ng"
    if importlib.util.find_spec("transformers") is None:
        yield "speech models of others: no; pip install 'talk3d[speech]'"
    else:
        yield "speech models of others: yes, wav2vec 2.0 and HuBERT"


def _opengl() -> str:
    """Try OpenGL in another process, since drivers can end the process."""
    code = (
        "import moderngl;"
        "c=moderngl.create_context(standalone=True,backend='egl');"
        "print(c.info['GL_RENDERER'])"
    )
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        return "no OpenGL; install libegl1 and libgl1-mesa-dri, or a GPU driver"
    return f"yes, OpenGL on {result.stdout.strip()}"
