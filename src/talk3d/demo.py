"""The bundled synthetic speaker, end to end.

First the finished avatar speaks, which takes a minute. Then the whole path runs on
the bundled clip with few steps: video in, avatar out, a video of it, a sheet over yaw
and a report.
"""

from importlib import resources
from pathlib import Path

import soundfile
import torch

from talk3d.animator.train import AnimatorTrainConfig
from talk3d.audio import SAMPLE_RATE, load_audio
from talk3d.evaluate.run import evaluate
from talk3d.person import load_person
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import CreateConfig, Report, create, yaw_sheet
from talk3d.speaking import SpeakConfig, replay, speak
from talk3d.trust.consent import synthetic_consent
from talk3d.trust.holders import avatar_fingerprint
from talk3d.trust.pictures import avatar_stamp, write_picture

__all__ = ["QUICK", "demo", "shipped"]

_SECONDS = 8

QUICK = CreateConfig(
    personalize=PersonalizeConfig(invert_steps=40, coarse_steps=100, tune_steps=300),
    animator=AnimatorTrainConfig(steps=100, register_every=8),
)
"""Few steps: shows that everything works, not how good it gets."""


def shipped(name: str) -> Path:
    """Return a file that is shipped with the package.

    Raises:
        FileNotFoundError: if this installation lacks it.
    """
    path = Path(str(resources.files("talk3d"))) / "data" / name
    if not path.is_file():
        message = f"{name} is not part of this installation: install talk3d again"
        raise FileNotFoundError(message)
    return path


def demo(out: Path, report: Report, *, device: torch.device | None = None) -> None:
    """Write the demonstration into a folder.

    Files: ``speech.wav``, ``speaking.mp4`` and ``turning.mp4`` by the finished avatar;
    then ``me.safetensors``, ``created.mp4``, ``yaw.png`` and ``report/report.html`` by
    the whole path. Without a device all runs on the best there is.
    """
    out.mkdir(parents=True, exist_ok=True)
    speech = out / "speech.wav"
    wave = load_audio(shipped("sample_speech.flac")).numpy()
    soundfile.write(speech, wave[: _SECONDS * SAMPLE_RATE], SAMPLE_RATE)
    finished = shipped("speaker.safetensors")
    speak(finished, speech, out / "speaking.mp4", SpeakConfig(), report, device=device)
    turning = SpeakConfig(view="orbit", background="#808080")
    speak(finished, speech, out / "turning.mp4", turning, report, device=device)

    work, avatar = out / "work", out / "me.safetensors"
    prior = shipped("prior-small.safetensors")
    drawn = synthetic_consent("the bundled speaker")
    clip = shipped("speaker.mp4")
    create(clip, avatar, prior, work, QUICK, report, consent=drawn, device=device)
    replay(avatar, work / "subject", out / "created.mp4", device=device)
    sheet = yaw_sheet(load_person(work / "generator.safetensors"))
    fingerprint = avatar_fingerprint(avatar)
    stamp = avatar_stamp(drawn, "a synthetic head from all sides", avatar=fingerprint)
    write_picture(out / "yaw.png", sheet, stamp)
    evaluate(out / "created.mp4", work / "subject", out / "report")
