"""Commands of consent, proof and erasure.

Nothing heavy is imported before a command runs, so help answers at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from talk3d.trust.consent import Consent

__all__ = ["TRUST_COMMANDS", "chosen_consent"]

_CHANGED = 3


def verify(
    file: Positional[Path], json: bool = False, trust: Path | None = None
) -> int:
    """Say whether a video or picture was made with talk3d, and by whom.

    Exit status 0 if it was and is unchanged as far as can be told, else 3.

    Args:
        file: the video or picture.
        json: print everything as JSON.
        trust: certificates (PEM) of authorities to trust besides this installation.
    """
    from json import dumps

    from talk3d.trust.verify import verify as run

    verdict = run(file, trusted="" if trust is None else _certificates(trust))
    if json:
        print(dumps(verdict.as_json(), indent=1))
    else:
        print("\n".join(verdict.sentences()))
    return 0 if verdict.unchanged else _CHANGED


def _certificates(file: Path) -> str:
    """Return the text of a PEM file.

    Raises:
        ValueError: if it is none.
    """
    text = file.read_bytes().decode("utf-8", errors="replace")
    if "-----BEGIN CERTIFICATE-----" not in text:
        message = f"{file} holds no certificate: give a PEM file"
        raise ValueError(message)
    return text


def forget(path: Positional[Path], videos: bool = False, dry_run: bool = False) -> None:
    """Erase a person's data: subject, work folder, states and avatar.

    Args:
        path: an avatar, a generator, a subject folder or a work folder.
        videos: also remove videos, sheets and reports of the avatar that are still in
            place as they were written; later nobody knows which these are.
        dry_run: only say what would be removed.
    """
    from talk3d.trust.forget import forget as run

    erasure = run(path, videos=videos, dry_run=dry_run)
    print("would remove:" if dry_run else "removed:")
    for item in erasure.removed:
        print(f"  {item}")
    print(f"  {erasure.struck} lines of the ledger")
    if erasure.left:
        hint = ""
        if not videos:
            hint = (
                " (--videos would remove these, now only)"
                if dry_run
                else (
                    " (nobody knows any more that these belong together: remove them"
                    " yourself)"
                )
            )
        print(f"still there{hint}; the recording and what is not talk3d's always is:")
        for item in erasure.left:
            print(f"  {item}")
    print("out of reach:")
    for text in erasure.beyond:
        print(f"  {text}")


def consent(
    avatar: Positional[Path | None] = None,
    consent: Path | None = None,
    synthetic: bool = False,
    template: bool = False,
) -> None:
    """Show the consent in an avatar, or give it one that was given anew.

    Args:
        avatar: the avatar file.
        consent: consent file to put in.
        synthetic: declare that the avatar shows no person.
        template: print a consent file to fill in, and do nothing else.
    """
    from talk3d.trust.consent import TEMPLATE
    from talk3d.trust.holders import avatar_consent, replace_consent

    if template:
        print(TEMPLATE, end="")
        return
    if avatar is None:
        message = "name an avatar to see its consent, or give --template for a new one"
        raise ValueError(message)
    if consent is not None or synthetic:
        name = avatar.stem
        replace_consent(avatar, chosen_consent(consent, synthetic=synthetic, name=name))
    print(avatar_consent(avatar).describe())


def chosen_consent(file: Path | None, *, synthetic: bool, name: str) -> "Consent":
    """Return the consent from a file, from questions, or for a synthetic face.

    Raises:
        ValueError: if there is none, or two, or it has expired, or the answers end
            before the last.
    """
    from talk3d.trust.consent import synthetic_consent

    if synthetic and file is not None:
        message = "--consent and --synthetic exclude each other: give one of them"
        raise ValueError(message)
    if synthetic:
        return synthetic_consent(name)
    consent = _given_consent(file)
    if consent.expired:
        message = (
            f"the consent of {consent.person} expired on {consent.expires}: give one"
            " that covers today"
        )
        raise ValueError(message)
    return consent


def _given_consent(file: Path | None) -> "Consent":
    """Return the consent from a file, or from questions."""
    from talk3d.trust.consent import read_consent

    if file is not None:
        return read_consent(file)
    if not sys.stdin.isatty():
        message = (
            "whose face is this? Give the person's consent with --consent FILE"
            " (talk3d consent --template prints one), or --synthetic if nobody's"
        )
        raise ValueError(message)
    try:
        return _asked()
    except EOFError as error:
        message = (
            "the questions were not answered, so there is no consent: answer them, or"
            " give --consent FILE or --synthetic"
        )
        raise ValueError(message) from error


def _asked() -> "Consent":
    """Ask for a consent on the terminal."""
    from datetime import date

    from talk3d.trust.consent import PURPOSES, Consent

    today = date.today().isoformat()
    print("An avatar can make this person say anything. Their consent, please:")
    person = _answer("  name of the person shown: ")
    given_by = input("  who agrees (self, or name and right): [self] ") or "self"
    how = _answer("  how it was given, and where the proof is kept: ")
    day = input(f"  day it was given: [{today}] ") or today
    expires = input("  last day, or nothing for until withdrawn: ") or None
    known = ", ".join(PURPOSES)
    purposes = input(f"  for what, of {known}: [private] ") or "private"
    return Consent(
        person=person,
        given_by=given_by,
        how=how,
        date=day,
        expires=expires,
        purposes=tuple(word.strip() for word in purposes.split(",")),
    )


def _answer(question: str) -> str:
    """Ask until there is an answer."""
    while not (answer := input(question).strip()):
        pass
    return answer


TRUST_COMMANDS = {"verify": verify, "forget": forget, "consent": consent}
"""By name."""
