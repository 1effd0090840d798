"""The consent that subjects and avatars carry.

A subject's consent is bound to the sha256 of its video, an avatar's to the sha256 of
its tensors as they lie in the file.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from talk3d.checkpoint import (
    METADATA_KEY,
    load_model,
    read_header,
    write_atomically,
)
from talk3d.dataset import Subject
from talk3d.trust.consent import Consent, open_sealed, seal, synthetic_consent
from talk3d.trust.identity import load_identity

__all__ = [
    "avatar_consent",
    "avatar_fingerprint",
    "record_consent",
    "replace_consent",
    "subject_consent",
]

_FIELD = "consent"
_SHIPPED = Path(__file__).parents[1] / "data"


def avatar_fingerprint(path: Path) -> str:
    """Return what the consent of an avatar is bound to: the hash of its tensors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no avatar.
    """
    digest = hashlib.sha256()
    for name, value in sorted(load_model(path, kind="avatar").state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def avatar_consent(path: Path) -> Consent:
    """Return the consent in an avatar file.

    The avatar shipped with the package shows a drawn person and needs none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no avatar, or its consent is missing, edited, or of
            another avatar.
    """
    owner = avatar_fingerprint(path)
    extra = read_header(path)["extra"]
    drawn = extra.get("synthetic") is True and path.resolve().parent == _SHIPPED
    if _FIELD not in extra and drawn:
        return synthetic_consent(str(extra.get("name", path.stem)))
    return open_sealed(extra.get(_FIELD), owner, name=path.name)


def replace_consent(path: Path, consent: Consent) -> None:
    """Give an avatar file a consent, in place of the one it has.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no avatar.
    """
    owner = avatar_fingerprint(path)
    header = read_header(path)
    header["extra"] |= {
        _FIELD: seal(consent, owner, load_identity()),
        "synthetic": consent.synthetic,
    }
    state = load_model(path, kind="avatar").state
    with write_atomically(path) as temporary:
        save_file(state, temporary, metadata={METADATA_KEY: json.dumps(header)})


def subject_consent(subject: Subject) -> Consent:
    """Return the consent of a subject; one of a drawn person needs none.

    Raises:
        ValueError: if it is missing, edited, or of another video.
    """
    name = subject.path.name
    source, sealed = subject.info["source"], subject.info.get(_FIELD)
    if sealed is None and subject.info["synthetic"] is True:
        return synthetic_consent(source["name"])
    return open_sealed(sealed, source["sha256"], name=name)


def record_consent(path: Path, consent: Consent) -> None:
    """Write a consent into a subject folder.

    Raises:
        FileNotFoundError: if the folder is no subject.
        ValueError: if it is damaged.
    """
    info = Subject.open(path).info
    sealed = seal(consent, info["source"]["sha256"], load_identity())
    info = info | {_FIELD: sealed, "synthetic": consent.synthetic}
    with write_atomically(path / "subject.json") as temporary:
        temporary.write_text(json.dumps(info, indent=1))
