"""Reads the text that says how a file was made, from the file itself or from its sidecar."""

from __future__ import annotations

import json
from pathlib import Path

from sdgraph.errors import MediaError
from sdgraph.files import convert_read_errors, is_there

from .edit_check import FILE_HASH, is_unchanged
from .image_files import open_image
from .metadata import PIXELS, from_comment, hash_pixels, text_in_picture
from .record_scan import scan_record
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
        if (record := scan_record(path)) is not None:
            return record
        try:
            with open_image(path) as picture:
                text = text_in_picture(picture)
        except PIL.UnidentifiedImageError:
            if is_there(sidecar_path(Path(path))):
                return read_sidecar(path)
            with open_video(path, "a picture or video") as video:
                tags = {name.lower(): text for name, text in video.metadata.items()}
            text = from_comment(tags.get("comment", ""))
        return read_sidecar(path) if text is None else text


def was_edited(path: str | Path) -> bool:
    """Whether a file was edited since sdgraph wrote it, by the hash in its record.

    Programs that edit pictures keep the record. False if there is no record, or one without a hash.

    Args:
        path: A file that can be read.
    """
    try:
        record = json.loads(read_provenance(path) or "null")
        if not isinstance(record, dict):
            return False
        if PIXELS in record:
            with open_image(path) as picture:
                return hash_pixels(picture) != str(record[PIXELS])
        return FILE_HASH in record and not is_unchanged(path, str(record[FILE_HASH]))
    except (MediaError, OSError, ValueError, RecursionError, SyntaxError):
        return True
