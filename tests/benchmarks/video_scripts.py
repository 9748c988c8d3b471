"""The two ways to find the edges in each frame of a video, as scripts that the benchmark runs.

`python -m tests.benchmarks.video_scripts loop|graph SOURCE TARGET` writes the video of edges and
prints the seconds that it took, the CPU seconds, the peak of memory in MB, and whether torch was
imported.
"""

from __future__ import annotations

import resource
import sys
import time
from fractions import Fraction
from pathlib import Path

FPS = 25


def loop(source: str, target: str) -> None:
    """A loop of PyAV and OpenCV."""
    import av
    import cv2

    with av.open(source) as video, av.open(target, "w", options={"movflags": "+faststart"}) as out:
        video.streams.video[0].thread_type = "AUTO"
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "medium", "crf": "17"})
        for number, frame in enumerate(video.decode(video=0)):
            if not number:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
            edges = cv2.Canny(frame.to_ndarray(format="rgb24"), 100, 200)
            made = av.VideoFrame.from_ndarray(cv2.merge([edges] * 3), format="rgb24")
            made.pts, made.time_base = number, Fraction(1, FPS)
            out.mux(stream.encode(made))
        out.mux(stream.encode(None))


def graph(source: str, target: str) -> None:
    """A graph of nodes."""
    from sdgraph import Graph, Session
    from sdgraph.nodes import Canny, Frames, LoadVideo, SaveVideo, VideoFromFrames

    edges = Canny(image=Frames(video=LoadVideo(path=source)))
    video = VideoFromFrames(frames=edges)
    with_store = Session()
    with_store.run(Graph.of(SaveVideo(video=video, path=target, existing="replace")))


def make_video(path: Path, frames: int, size: tuple[int, int] = (640, 360)) -> None:
    """Writes a video of a photo that moves slowly."""
    import av
    import numpy as np

    from .large_pictures import photo

    width, height = size
    pixels = photo(3072)
    with av.open(str(path), "w") as video:
        options = {"preset": "ultrafast", "crf": "23"}
        stream = video.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            top, left = (2 * number) % (3072 - height), (3 * number) % (3072 - width)
            part = np.ascontiguousarray(pixels[top : top + height, left : left + width])
            frame = av.VideoFrame.from_ndarray(part, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))


if __name__ == "__main__":
    name, source, target = sys.argv[1:]
    began = time.perf_counter()
    {"loop": loop, "graph": graph}[name](source, target)
    wall = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu, megabytes = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(wall, cpu, megabytes, "torch" in sys.modules)
