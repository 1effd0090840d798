"""Peak memory of preprocessing a long video: a clip is looped to the asked length.

    python benchmarks/preprocess_memory.py CLIP --minutes 10

Prints seconds of work per minute of video and the peak resident size. The looped video
is a copy of the clip's packets, so making it takes a moment and no quality.
"""

import argparse
import resource
import tempfile
import time
from itertools import count
from pathlib import Path

import av
from av.stream import Stream

from talk3d.preprocess.run import PreprocessConfig, preprocess


def loop(clip: Path, out: Path, seconds: float) -> None:
    """Write ``seconds`` of a clip that starts again and again."""
    with av.open(str(out), "w", format="matroska") as target:
        streams: dict[int, Stream] = {}
        for turn in count():
            with av.open(str(clip)) as source:
                length = (source.duration or 0) / av.time_base
                if turn * length >= seconds:
                    return
                used = [*source.streams.video[:1], *source.streams.audio[:1]]
                for stream in used if turn == 0 else []:
                    streams[stream.index] = target.add_stream_from_template(stream)
                for packet in source.demux(used):
                    if packet.pts is None or packet.dts is None:
                        continue
                    shift = round(turn * length / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mkv"
        loop(given.clip, video, 60 * given.minutes)
        start = time.perf_counter()
        config = PreprocessConfig(end=60 * given.minutes, offline=True, silent=True)
        preprocess(video, Path(folder) / "subject", config)
        work = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{work / given.minutes:.0f} s per minute of video, peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
