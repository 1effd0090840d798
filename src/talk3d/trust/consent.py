"""Consent: who agreed to what, bound to the avatar it belongs to.

A consent is a small JSON record. ``seal`` binds it to the video of a subject or to the
planes of an avatar and signs both with the key of the installation; the sealed record
lies in ``subject.json`` and in the avatar's header. Opening refuses a record that is
missing, edited, or of another avatar; ``permit`` refuses one that has expired or does
not cover the use. The seal shows that nothing was changed since the avatar was made.
That the person truly agreed, no file can show.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from talk3d.trust.identity import Identity, is_signed_by

__all__ = [
    "PRIVATE",
    "PURPOSES",
    "TEMPLATE",
    "Consent",
    "open_sealed",
    "permit",
    "read_consent",
    "seal",
    "synthetic_consent",
]

FORMAT = 1
PRIVATE = "private"
PURPOSES = (PRIVATE, "research", "publication", "commercial")
"""What a video may be made for. ``private``, seen only by those who make it, goes with
every consent."""

TEMPLATE = """{
 "format": 1,
 "person": "FULL NAME of the person shown",
 "given_by": "self",
 "how": "Signed on paper after reading docs/RESPONSIBLE_USE.md; kept by WHO, WHERE",
 "date": "YYYY-MM-DD",
 "expires": null,
 "purposes": ["private"],
 "speeches": [],
 "synthetic": false
}
"""
"""A consent file to fill in."""
_UNFILLED = ("FULL NAME of the person shown", "WHO, WHERE", "YYYY-MM-DD")
_AHEAD = timedelta(days=1)
"""Somewhere on earth it is tomorrow already."""
_COPY = "talk3d consent --template prints one to fill in"


@dataclass(frozen=True)
class Consent:
    """What a person agreed to."""

    person: str
    """Name of the person, as it is shown."""
    given_by: str
    """Who agreed: ``self``, or the name and right of who may agree for the person."""
    how: str
    """How it was given and where the proof is kept."""
    date: str
    """Day it was given, YYYY-MM-DD."""
    expires: str | None = None
    """Last day, YYYY-MM-DD; None: until it is withdrawn."""
    purposes: tuple[str, ...] = (PRIVATE,)
    """What videos may be made for, see ``PURPOSES``."""
    speeches: tuple[str, ...] = ()
    """sha256 of the sound files that may be said; empty: any speech."""
    synthetic: bool = False
    """Whether no person is shown: a drawn or generated face."""

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("person", "given_by", "how"):
            if not str(getattr(self, name)).strip():
                raise ValueError(f"the consent does not say {name}: fill it in")
        for name in ("person", "given_by", "how", "date"):
            if any(word in getattr(self, name) for word in _UNFILLED):
                message = f"{name} of the consent still holds the template's words"
                raise ValueError(f"{message}, {getattr(self, name)!r}: fill it in")
        given, last = _day(self.date, "date"), _day(self.expires, "expires")
        assert given is not None
        if given > _today() + _AHEAD:
            raise ValueError(f"the consent is dated {self.date}, which is not yet")
        if last is not None and last < given:
            raise ValueError(f"the consent expires {self.expires}, before its date")
        unknown = sorted(set(self.purposes) - set(PURPOSES))
        if unknown:
            raise ValueError(
                f"the consent names the purpose {unknown[0]!r}: give some of"
                f" {', '.join(PURPOSES)}"
            )

    @property
    def sha256(self) -> str:
        """Hash of the record."""
        return _hash(asdict(self))

    @property
    def expired(self) -> bool:
        """Whether its last day is over."""
        last = _day(self.expires, "expires")
        return last is not None and last < _today()

    def describe(self) -> str:
        """Say in one line whose avatar it is and what was agreed to."""
        if self.synthetic:
            return f"{self.person}: synthetic, no person is shown"
        until = f"until {self.expires}" if self.expires else "until withdrawn"
        allowed = ", ".join(dict.fromkeys((PRIVATE, *self.purposes)))
        speeches = f", {len(self.speeches)} speeches only" if self.speeches else ""
        return (
            f"{self.person}: consent of {self.date} by {self.given_by}, {until},"
            f" for {allowed} use{speeches}"
        )


def read_consent(path: Path) -> Consent:
    """Read a consent file; ``TEMPLATE`` shows one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not filled in rightly.
    """
    if not path.is_file():
        message = f"no consent file at {path}: {_COPY}"
        raise FileNotFoundError(message)
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        message = f"the consent {path} is not JSON: {_COPY}"
        raise ValueError(message) from error
    return _consent(record, str(path))


def synthetic_consent(name: str) -> Consent:
    """Return the record of a face that belongs to nobody."""
    return Consent(
        person=name,
        given_by="nobody",
        how="declared by the operator: a drawn or generated face",
        date=_today().isoformat(),
        purposes=PURPOSES,
        synthetic=True,
    )


def seal(consent: Consent, bound_to: str, identity: Identity) -> dict[str, Any]:
    """Bind a consent to a video or avatar.

    Args:
        consent: the record.
        bound_to: sha256 of what it belongs to.
        identity: who vouches that the record was given for it.

    Returns:
        JSON for a header.
    """
    return {
        "record": _listed(consent),
        "sha256": consent.sha256,
        "bound_to": bound_to,
        "signature": identity.sign(_sealed_text(consent.sha256, bound_to)),
        "certificate": identity.chain.split("-----END CERTIFICATE-----")[0]
        + "-----END CERTIFICATE-----\n",
    }


def open_sealed(sealed: object, bound_to: str, *, name: str) -> Consent:
    """Return the consent of a header.

    Args:
        sealed: what the header holds.
        bound_to: sha256 of the video or avatar that the header belongs to.
        name: of the file, for messages.

    Raises:
        ValueError: if it is missing, was edited, or belongs to another avatar.
    """
    if not isinstance(sealed, Mapping):
        message = (
            f"{name} holds no consent of the person shown: make it again with"
            " --consent FILE or --synthetic, or add one with talk3d consent"
        )
        raise ValueError(message)
    edited = (
        f"the consent in {name} was edited after it was given: make the avatar again"
        " with the consent as the person gave it"
    )
    try:
        consent = _consent(sealed["record"], name)
        digest, owner = str(sealed["sha256"]), str(sealed["bound_to"])
        certificate, signature = str(sealed["certificate"]), str(sealed["signature"])
    except (KeyError, ValueError) as error:
        raise ValueError(edited) from error
    text = _sealed_text(digest, owner)
    if consent.sha256 != digest or not is_signed_by(certificate, signature, text):
        raise ValueError(edited)
    if owner != bound_to:
        message = (
            f"the consent in {name} belongs to another avatar: consent is given for"
            " one recording and cannot be moved"
        )
        raise ValueError(message)
    return consent


def permit(
    consent: Consent, *, purpose: str, speech_sha256: str | None, name: str
) -> None:
    """Refuse what the consent does not cover.

    Args:
        consent: the record.
        purpose: what the video is made for, see ``PURPOSES``.
        speech_sha256: hash of the sound file, or None for the recording's own sound.
        name: of the avatar, for messages.

    Raises:
        ValueError: if the consent has expired, or does not cover purpose or speech.
    """
    if purpose not in PURPOSES:
        message = f"the purpose {purpose!r} is not known: give {', '.join(PURPOSES)}"
        raise ValueError(message)
    if consent.expired:
        message = (
            f"the consent of {consent.person} for {name} expired on {consent.expires}:"
            " ask for a new one, or remove the avatar with talk3d forget"
        )
        raise ValueError(message)
    if purpose not in (PRIVATE, *consent.purposes):
        allowed = ", ".join(dict.fromkeys((PRIVATE, *consent.purposes)))
        message = (
            f"the consent of {consent.person} covers {allowed} use, not {purpose}: ask"
            " for a wider one"
        )
        raise ValueError(message)
    if consent.speeches and speech_sha256 not in (None, *consent.speeches):
        message = (
            f"the consent of {consent.person} covers {len(consent.speeches)} named"
            " speeches, and this sound file is none of them"
        )
        raise ValueError(message)


def _consent(record: object, name: str) -> Consent:
    if not isinstance(record, Mapping) or record.get("format") != FORMAT:
        message = f"the consent in {name} must be JSON with format {FORMAT}"
        raise ValueError(message)
    fields = {key: value for key, value in record.items() if key != "format"}
    known = Consent.__dataclass_fields__
    unknown = sorted(set(fields) - set(known))
    missing = sorted({"person", "given_by", "how", "date"} - set(fields))
    if unknown or missing:
        what = f"the unknown field {unknown[0]}" if unknown else f"no {missing[0]}"
        raise ValueError(f"the consent in {name} has {what}: {', '.join(known)}")
    for key in ("purposes", "speeches"):
        fields[key] = _texts(fields.get(key, getattr(Consent, key)), key, name)
    for key in ("person", "given_by", "how", "date"):
        if not isinstance(fields[key], str):
            raise ValueError(f"{key} of the consent in {name} must be text")
    if not isinstance(fields.get("synthetic", False), bool):
        raise ValueError(f"synthetic of the consent in {name} must be true or false")
    return Consent(**fields)


def _texts(value: object, key: str, name: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(item, str) for item in value
    ):
        raise ValueError(f"{key} of the consent in {name} must be a list of texts")
    return tuple(str(item) for item in value)


def _listed(consent: Consent) -> dict[str, Any]:
    return {"format": FORMAT} | json.loads(json.dumps(asdict(consent)))


def _sealed_text(digest: str, bound_to: str) -> bytes:
    return f"talk3d consent {digest} for {bound_to}".encode()


def _hash(record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _day(text: str | None, what: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except (ValueError, TypeError):
        message = f"the {what} {text!r} of the consent is no day such as 2026-11-21"
        raise ValueError(message) from None


def _today() -> date:
    """Return the day on the user's calendar: what a consent is written by."""
    return date.today()
