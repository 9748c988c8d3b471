"""Reads the text that says how a file was made, from the file itself or from its sidecar."""

from __future__ import annotations

import json
from pathlib import Path

from sdgraph.files import convert_read_errors, is_there

from .image_files import open_image
from .metadata import PIXELS, from_comment, hash_pixels, text_in_picture
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


def was_edited(path: str | Path) -> bool:
    """Whether the record in a picture has a hash of other pixels than the picture holds.

    Programs that edit pictures keep the record. False if the record has no hash: only those of PNG
    and JPEG files do.

    Args:
        path: A file that can be read.
    """
    import PIL

    try:
        with open_image(path) as picture:
            record = json.loads(text_in_picture(picture) or "null")
            expected = record.get(PIXELS) if isinstance(record, dict) else None
            return expected is not None and hash_pixels(picture) != expected
    except PIL.UnidentifiedImageError:
        return False
    except (OSError, ValueError, RecursionError, SyntaxError):
        return True
