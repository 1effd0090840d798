"""The files of the face networks: where they are, and how to get them once.

The networks are MediaPipe's (Apache-2.0). They are not part of this package: they are
taken once from a published wheel into the user's cache, or from a folder the user
names, and checked by their sha256.
"""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

__all__ = ["MODEL_FILES", "model_files"]

_log = logging.getLogger(__name__)

MODEL_FILES = {
    "face_detection_short_range.tflite": (
        "face_detection",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "face_landmark.tflite": (
        "face_landmark",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    "iris_landmark.tflite": (
        "iris_landmark",
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    ),
    "selfie_segmentation.tflite": (
        "selfie_segmentation",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
}
"""File name -> (folder inside the wheel's ``mediapipe/modules``, sha256)."""

_WHEEL = "mediapipe==0.10.21"
_WHEEL_PLATFORM = "manylinux_2_28_x86_64"


def model_files(models_dir: Path | None = None, *, offline: bool = False) -> Path:
    """Return the folder that holds the four network files, fetching them if needed.

    Args:
        models_dir: A folder with the files; nothing is fetched then.
        offline: Refuse to fetch; the files must be in the cache already.

    Raises:
        FileNotFoundError: A file is absent and may not, or could not, be fetched.
        ValueError: A file has another sha256 than the one this version was tested with.
    """
    folder = models_dir or _cache_folder() / "face-models"
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing and models_dir is not None:
        raise FileNotFoundError(
            f"the face model folder {folder} lacks {', '.join(missing)}: put the files "
            f"of mediapipe 0.10.21 there, or leave the option away to fetch them"
        )
    if missing and offline:
        raise FileNotFoundError(
            f"the face models are not in {folder} and offline was asked for: run once "
            "without --offline, or name a folder that holds them with --face-models"
        )
    if missing:
        _fetch_models(folder)
    for name, (_, sha256) in MODEL_FILES.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
            raise ValueError(
                f"{folder / name} is not the file of mediapipe 0.10.21 (its sha256 "
                "differs): delete it, and it is fetched anew"
            )
    return folder


def _cache_folder() -> Path:
    named = os.environ.get("TALK3D_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "talk3d"


def _fetch_models(folder: Path) -> None:
    _log.warning("fetching the face networks (%s, 36 MB, once) into %s", _WHEEL, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", "3.11"]
        command += ["--platform", _WHEEL_PLATFORM, "--dest", scratch, _WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise FileNotFoundError(
                f"could not fetch {_WHEEL} by pip ({reason}): connect to a package "
                "index, or name a folder that holds its .tflite files with"
                " --face-models"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            for name, (module, _) in MODEL_FILES.items():
                part = Path(scratch) / name
                part.write_bytes(wheel.read(f"mediapipe/modules/{module}/{name}"))
                part.replace(folder / name)
