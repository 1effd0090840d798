"""The signed statement in the file: a C2PA manifest.

``sign`` lays a manifest beside the pictures: made by talk3d, by a trained algorithm
(IPTC *trainedAlgorithmicMedia*), or, where parts come from a camera file, composed with
such media (*compositeWithTrainedAlgorithmicMedia*) with that file as parent. Two
assertions of ours tell the statement (``STATEMENT``) and the mark in the picture
(``c2pa.soft-binding``). The identity of the mark is the beginning of the statement's
hash, so neither can be taken from another file. No time server and no remote manifest
is asked: nothing leaves the machine.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2pa import (
    Builder,
    C2paBuilderIntent,
    C2paDigitalSourceType,
    C2paError,
    C2paSignerInfo,
    C2paSigningAlg,
    Context,
    Reader,
    Signer,
)

from talk3d import __version__
from talk3d.trust.identity import Identity
from talk3d.trust.watermark import ID_DIGITS

__all__ = [
    "STATEMENT",
    "Signed",
    "read_manifest",
    "sign",
    "signed_picture",
    "statement_identity",
]

STATEMENT = "talk3d.statement"
_BINDING = "c2pa.soft-binding"
_ALGORITHM = "talk3d.watermark.1"
_OFFLINE: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".m4v": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


@dataclass(frozen=True)
class Signed:
    """What the manifest of a file says."""

    valid: bool
    """Whether file and manifest are as they were signed."""
    trusted: bool
    """Whether the certificate goes back to a given authority."""
    signer: str
    """Name in the certificate."""
    statement: dict[str, Any] | None
    """Our statement, or None if another program made the manifest."""
    identity: str | None
    """Identity of the mark, bound to the statement."""
    problems: tuple[str, ...]
    """Codes of what is not valid, as C2PA names them."""


def statement_identity(statement: dict[str, Any]) -> str:
    """Return the identity that belongs to a statement: its hash's first digits."""
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def sign(
    source: Path,
    out: Path,
    statement: dict[str, Any],
    identity: Identity,
    *,
    parent: Path | None = None,
    composed: bool = False,
) -> None:
    """Write a signed copy of a movie or picture.

    Args:
        source: the marked file.
        out: destination, another path.
        statement: what is said about it; strings, numbers and truth values by name.
        identity: who signs.
        parent: the camera file that parts of the picture come from.
        composed: whether parts come from a camera, of a file that is not at hand.

    Raises:
        ValueError: if the kind of file cannot be signed.
    """
    kind = _kind(source.name)
    with source.open("rb") as content, out.open("w+b") as target:
        streams = (content, target)
        _sign(streams, kind, statement, identity, parent=parent, composed=composed)


def signed_picture(
    content: bytes,
    suffix: str,
    statement: dict[str, Any],
    identity: Identity,
    *,
    composed: bool = False,
) -> bytes:
    """Return a signed copy of an encoded picture.

    Args:
        content: the file.
        suffix: of its name, such as ``.png``.
        statement: what is said about it.
        identity: who signs.
        composed: whether parts come from a camera.

    Raises:
        ValueError: if the kind of file cannot be signed.
    """
    target = io.BytesIO()
    streams = (io.BytesIO(content), target)
    kind = _kind(f"picture{suffix}")
    _sign(streams, kind, statement, identity, parent=None, composed=composed)
    return target.getvalue()


def read_manifest(path: Path, authorities: str = "") -> Signed | None:
    """Return what the manifest of a file says, or None if it has none.

    Args:
        path: a movie or picture.
        authorities: PEM certificates that are trusted.
    """
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        return None
    settings = dict(_OFFLINE)
    if authorities:
        settings["trust"] = {"user_anchors": authorities}
    try:
        with (
            path.open("rb") as content,
            Context.from_dict(settings) as context,
            Reader(kind, content, context=context) as reader,
        ):
            report = json.loads(reader.json())
    except C2paError as error:
        if "ManifestNotFound" in type(error).__name__ + str(error):
            return None
        return Signed(False, False, "", None, None, (str(error),))
    return _signed(report)


def _kind(name: str) -> str:
    kind = _TYPES.get(Path(name).suffix.lower())
    if kind is None:
        message = f"cannot sign {name}: give one of {', '.join(_TYPES)}"
        raise ValueError(message)
    return kind


def _sign(
    streams: tuple[io.BufferedIOBase, io.BufferedIOBase],
    kind: str,
    statement: dict[str, Any],
    identity: Identity,
    *,
    parent: Path | None,
    composed: bool,
) -> None:
    """Read from the first stream and write to the second."""
    pure = C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA
    mixed = C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
    info = C2paSignerInfo(
        C2paSigningAlg.ES256, identity.chain.encode(), identity.key.encode(), None
    )
    try:
        with (
            Context.from_dict(_OFFLINE) as context,
            Signer.from_info(info) as signer,
            Builder(_definition(statement, kind), context=context) as builder,
        ):
            if parent is None:
                builder.set_intent(
                    C2paBuilderIntent.CREATE, mixed if composed else pure
                )
            else:
                builder.set_intent(C2paBuilderIntent.EDIT, mixed)
                _add_parent(builder, parent, mixed)
            builder.sign(signer, kind, *streams)
    except C2paError as error:
        message = f"the {kind} file cannot be signed: {error}"
        raise ValueError(message) from error


def _definition(statement: dict[str, Any], kind: str) -> dict[str, Any]:
    binding = {
        "alg": _ALGORITHM,
        "blocks": [{"scope": {}, "value": statement_identity(statement)}],
    }
    return {
        "claim_generator_info": [{"name": "talk3d", "version": __version__}],
        "title": "talking avatar",
        "format": kind,
        "assertions": [
            {"label": STATEMENT, "data": statement},
            {"label": _BINDING, "data": binding},
        ],
    }


def _add_parent(builder: Builder, parent: Path, kind: C2paDigitalSourceType) -> None:
    form = _TYPES.get(parent.suffix.lower())
    if form is None:
        message = f"{parent.name} cannot be named as source: give {', '.join(_TYPES)}"
        raise ValueError(message)
    described = {"title": parent.name, "format": form, "relationship": "parentOf"}
    with parent.open("rb") as content:
        builder.add_ingredient(described, form, content)
    name = "".join(part.title() for part in kind.name.split("_"))
    address = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    builder.add_action(
        {
            "action": "c2pa.edited",
            "digitalSourceType": address + name[0].lower() + name[1:],
        }
    )


def _signed(report: dict[str, Any]) -> Signed:
    manifest = report["manifests"][report["active_manifest"]]
    failures = report.get("validation_results", {}).get("activeManifest", {})
    codes = [failure["code"] for failure in failures.get("failure", [])]
    problems = tuple(c for c in codes if c != "signingCredential.untrusted")
    found = {a["label"]: a.get("data") for a in manifest.get("assertions", [])}
    statement = found.get(STATEMENT)
    binding = found.get(_BINDING)
    identity = None
    if isinstance(statement, dict):
        identity = statement_identity(statement)
        if (
            not isinstance(binding, dict)
            or binding.get("blocks", [{}])[0].get("value") != identity
        ):
            problems += ("talk3d.binding.mismatch",)
    state = report.get("validation_state")
    signature = manifest.get("signature_info", {})
    return Signed(
        valid=state in ("Valid", "Trusted") and not problems,
        trusted=state == "Trusted" and not problems,
        signer=signature.get("common_name") or signature.get("issuer") or "",
        statement=statement if isinstance(statement, dict) else None,
        identity=identity,
        problems=problems,
    )
