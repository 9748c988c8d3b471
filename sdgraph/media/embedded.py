"""Reads the text that says how a file was made, from the file itself or from its sidecar."""

from __future__ import annotations

from pathlib import Path

from sdgraph.files import convert_read_errors, is_there

from .image_files import open_image
from .metadata import from_comment, text_in_picture
from .sidecar import read_sidecar, sidecar_path
from .video_reader import open_video


def read_provenance(path: str | Path) -> str | None:
    """The text that says how a file was made, from the image or video itself or its sidecar.

    Returns:
        What `write_image`, `write_video` or `write_sidecar` stored; None if there is nothing.

    Raises:
        MediaError: The file is missing, or it is damaged or of an unknown format and has no
            sidecar, or it has changed since its sidecar was written.
    """
    import PIL

    with convert_read_errors(path, "a picture or video"):
        try:
            with open_image(path) as picture:
                text = text_in_picture(picture)
        except PIL.UnidentifiedImageError:
            if is_there(sidecar_path(Path(path))):
                return read_sidecar(path)
            with open_video(path) as video:
                tags = {name.lower(): text for name, text in video.metadata.items()}
            text = from_comment(tags.get("comment", ""))
        return read_sidecar(path) if text is None else text
