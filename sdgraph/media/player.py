"""Plays a video in a notebook: as an MP4 inside the page."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory

from sdgraph.values import Video

from .video_files import write_video

MAX_INLINE_BYTES = 64 * 2**20
"""The most bytes of raw frames that are put into a page; with more it becomes slow."""


def video_html(video: Video) -> str:
    """The HTML that plays a video; a line of text for one above `MAX_INLINE_BYTES`."""
    if video.nbytes > MAX_INLINE_BYTES:
        return f"<p>{video!r} is too large to show here; save it to a file</p>"
    with TemporaryDirectory() as folder:
        write_video(video, path := Path(folder, "video.mp4"))
        data = b64encode(path.read_bytes()).decode()
    return f'<video controls loop src="data:video/mp4;base64,{data}"></video>'
