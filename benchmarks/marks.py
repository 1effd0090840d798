"""What the marks survive, cost, and how seldom they err.

    python benchmarks/marks.py survive OUTPUT.mp4 ...     # unmarked outputs
    python benchmarks/marks.py false-alarms CLIP ... [--count 1000]
    python benchmarks/marks.py cost
    python benchmarks/marks.py strip OUTPUT.mp4 ... -o STRIP.jpg   # unmarked outputs

``survive`` marks each output, treats it, and reads it again: bits as received, before
the code corrects them. ``false-alarms`` reads unmarked frames one by one and compares
the highest fits with the bound. ``cost`` times marking and signing. ``strip`` draws one
frame of each output, twice as large: unmarked, marked, and eight times the difference.
"""

import argparse
import io
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from talk3d.movie import write_movie
from talk3d.trust.code import encode
from talk3d.trust.consent import synthetic_consent
from talk3d.trust.detect import THRESHOLD, TRIALS, read_mark
from talk3d.trust.marking import Marks, marked_output
from talk3d.trust.watermark import Mark
from talk3d.video import read_frames

Frames = list[np.ndarray]
FRAMES = 75


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["survive", "false-alarms", "cost", "strip"])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("-o", "--out", type=Path, default=Path("strip.jpg"))
    options = parser.parse_args()
    if options.what == "survive":
        survive(options.files)
    elif options.what == "false-alarms":
        false_alarms(options.files, options.count)
    elif options.what == "strip":
        strip(options.files, options.out)
    else:
        cost()


def survive(files: list[Path]) -> None:
    """Print the bits received after each treatment, and the identities read."""
    print(f"{'output':34} {'PSNR':>6}", *(f"{name:>13}" for name in TREATMENTS))
    rows, read = [], 0
    for number, file in enumerate(files):
        frames = list(islice(read_frames(file, fps=25.0), FRAMES))
        identity = f"{0x123456789A ^ (number * 0x10101):010x}"
        mark = Mark.of(identity, *frames[0].shape[:2])
        marked = [mark.apply(frame) for frame in frames]
        row, cells = [], []
        for treat in TREATMENTS.values():
            reading = read_mark(treat(marked)[::2])
            right = reading.identity == identity
            read += right
            # the word read is the right one, so its agreement is that of the bits
            row.append(reading.agreement if right else 0.5)
            cells.append(f"{row[-1]:.3f} z{reading.fit:5.1f}{' ' if right else '!'}")
        rows.append([_psnr(frames, marked), *row])
        print(f"{file.stem[:34]:34} {rows[-1][0]:6.2f}", *(f"{c:>13}" for c in cells))
    table = np.array(rows)
    for label, values in (("mean", table.mean(0)), ("worst", table.min(0))):
        print(f"{label:34} {values[0]:6.2f}", *(f"{v:13.3f}" for v in values[1:]))
    total = len(files) * len(TREATMENTS)
    print(f"identities read: {read} of {total}; {len(encode(0))} coded bits")


def h264(frames: Frames, crf: int) -> Frames:
    """Encode and decode."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        options = {"crf": str(crf), "preset": "medium"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        return [
            frame.to_ndarray(format="rgb24", src_colorspace="ITU709")
            for frame in container.decode(video=0)
        ]


def half(frames: Frames) -> Frames:
    """Resize to half and back."""
    height, width = frames[0].shape[:2]
    small = [
        cv2.resize(f, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        for f in frames
    ]
    return [
        cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in small
    ]


def cropped(frames: Frames) -> Frames:
    """Cut a tenth off each side's length, off centre, and enlarge to the old size."""
    height, width = frames[0].shape[:2]
    top, left = int(0.037 * height), int(0.071 * width)
    tall, wide = int(0.9 * height), int(0.9 * width)
    cut = [f[top : top + tall, left : left + wide] for f in frames]
    return [cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in cut]


def slower(frames: Frames) -> Frames:
    """Play 30 frames a second as 25: leave out every sixth."""
    return [frame for index, frame in enumerate(frames) if index % 6 != 5]


TREATMENTS: dict[str, Callable[[Frames], Frames]] = {
    "CRF 18": lambda f: h264(f, 18),
    "CRF 23": lambda f: h264(f, 23),
    "CRF 28": lambda f: h264(f, 28),
    "half": lambda f: h264(half(h264(f, 16)), 18),
    "crop": lambda f: h264(cropped(h264(f, 16)), 18),
    "30 to 25": lambda f: h264(slower(h264(f, 16)), 18),
    "all, CRF 23": lambda f: h264(slower(cropped(half(h264(f, 16)))), 23),
    "all, CRF 28": lambda f: h264(slower(cropped(half(h264(f, 16)))), 28),
}
"""All but the first three begin with the encoding of an output, CRF 16."""


def false_alarms(files: list[Path], count: int) -> None:
    """Read unmarked frames one by one; print the alarms and the highest fits."""
    fits, alarms, checks = [], 0, 0
    share = -(-count // len(files))
    for file in files:
        for picture in islice(_spread(file, share), share):
            reading = read_mark([picture])
            fits.append(reading.fit)
            alarms += reading.found
            checks += reading.false_alarm < min(1.0, _bound(reading.fit)) / 2
        print(f"{file.name}: {len(fits)} frames so far, highest fit {max(fits):.2f}")
    values = np.array(fits)
    # Maxima over shifts and sizes follow a Gumbel law; its tail at the least fit that
    # counts as found gives an estimate beside the bound.
    scale = values.std() * math.sqrt(6) / math.pi
    place = values.mean() - 0.5772 * scale
    least = next(z for z in np.arange(5, 12, 0.01) if _bound(z) * 2**-16 < THRESHOLD)
    tail = -math.expm1(-math.exp(-(least - place) / scale))
    print(f"{len(fits)} unmarked frames: {alarms} alarms, {checks} right checks")
    print(f"fit {values.mean():.2f} +- {values.std():.2f}, highest {values.max():.2f}")
    print(
        f"needed: {least:.2f} with a right check; there the Gumbel tail is {tail:.1e}"
    )
    print(f"estimated rate {tail * 2**-16:.1e}, bound by design {THRESHOLD:.0e}")


def _bound(fit: float) -> float:
    return TRIALS * math.exp(-(fit**2) / 2)


def _spread(file: Path, count: int) -> Iterator[np.ndarray]:
    if file.is_dir():
        for path in sorted(file.glob("*.jpg")) + sorted(file.glob("*.png")):
            with Image.open(path) as image:
                yield np.asarray(image.convert("RGB"))
        return
    fps = max(1.0, 25.0 * count / max(count, 25 * _seconds(file)))
    yield from read_frames(file, fps=fps)


def _seconds(file: Path) -> float:
    with av.open(str(file.absolute())) as container:
        return (container.duration or 0) / av.time_base


def cost() -> None:
    """Print what marking adds to a frame and a file."""
    os.environ["TALK3D_DATA"] = tempfile.mkdtemp(prefix="talk3d-marks-")
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), np.uint8), (0, 0), 3)
    frames = [picture] * 200
    started = time.perf_counter()
    mark = Mark.of("0123456789", 256, 256)
    made = time.perf_counter()
    for frame in frames:
        mark.apply(frame)
    applied = time.perf_counter()
    print(f"pattern {1000 * (made - started):.1f} ms, once a video")
    print(f"mark {1000 * (applied - made) / len(frames):.2f} ms a frame of 256 x 256")
    consent = synthetic_consent("nobody")
    with tempfile.TemporaryDirectory() as folder:
        for label in ("first", "second"):
            started = time.perf_counter()
            with marked_output(Path(folder) / "x.mp4", Marks(), consent, {}) as output:
                opened = time.perf_counter()
                write_movie(output.path, frames, fps=25.0)
                written = time.perf_counter()
            signed = time.perf_counter() - written + opened - started
            print(f"certificate and signature, {label} time: {1000 * signed:.0f} ms")


def strip(files: list[Path], out: Path) -> None:
    """Draw what the mark does to one frame of each output."""
    rows = []
    for file in files:
        plain = next(islice(read_frames(file, fps=25.0), FRAMES // 2, None))
        marked = Mark.of("123456789a", *plain.shape[:2]).apply(plain)
        added = 128 + 8 * (marked.astype(int) - plain)
        three = np.hstack([plain, marked, added.clip(0, 255).astype(np.uint8)])
        large = (2 * three.shape[1], 2 * three.shape[0])
        rows.append(cv2.resize(three, large, interpolation=cv2.INTER_CUBIC))
    Image.fromarray(np.vstack(rows)).save(out, quality=92, subsampling=0)


def _psnr(first: Frames, second: Frames) -> float:
    pairs = zip(first, second, strict=True)
    error = np.mean([np.mean((a - b.astype(float)) ** 2) for a, b in pairs])
    return 10 * math.log10(255**2 / error)


if __name__ == "__main__":
    main()
