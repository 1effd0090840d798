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


def verify(
    file: Positional[Path], json: bool = False, trust: Path | None = None
) -> None:
    """Say whether a video or picture was made with talk3d, and by whom.

    Args:
        file: the video or picture.
        json: print everything as JSON.
        trust: certificates (PEM) of authorities to trust besides this installation.
    """
    from json import dumps

    from talk3d.trust.verify import verify as run

    verdict = run(file, trusted="" if trust is None else trust.read_text())
    if json:
        print(dumps(verdict.as_json(), indent=1))
        return
    for sentence in verdict.sentences():
        print(sentence)


def forget(path: Positional[Path], videos: bool = False, dry_run: bool = False) -> None:
    """Erase a person's data: subject, work folder, states and avatar.

    Args:
        path: an avatar, a generator, a subject folder or a work folder.
        videos: also remove videos, sheets and reports of the avatar still in place.
        dry_run: only say what would be removed.
    """
    from talk3d.trust.forget import forget as run

    erasure = run(path, videos=videos, dry_run=dry_run)
    print("would remove:" if dry_run else "removed:")
    for item in erasure.removed:
        print(f"  {item}")
    print(f"  {erasure.struck} lines of the ledger")
    if erasure.left:
        hint = " (--videos would remove these)" if dry_run and not videos else ""
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
        ValueError: if there is none, or two, or the answers end before the last.
    """
    from talk3d.trust.consent import read_consent, synthetic_consent

    if synthetic and file is not None:
        message = "--consent and --synthetic exclude each other: give one of them"
        raise ValueError(message)
    if synthetic:
        return synthetic_consent(name)
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
    person = input("  name of the person shown: ")
    given_by = input("  who agrees (self, or name and right): [self] ") or "self"
    how = input("  how it was given, and where the proof is kept: ")
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


TRUST_COMMANDS = {"verify": verify, "forget": forget, "consent": consent}
"""By name."""
