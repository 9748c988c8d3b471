"""Recognises pictures and videos that other programs made, by the metadata in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sdgraph.errors import MediaError
from sdgraph.files import convert_read_errors

from .image_files import open_image
from .video_reader import open_video

if TYPE_CHECKING:
    import PIL.Image

Program = Literal["ComfyUI", "A1111", "InvokeAI"]

_EXIF_IFD, _USER_COMMENT, _MAKE, _MODEL = 0x8769, 0x9286, 0x010F, 0x0110


def foreign_program(path: str | Path) -> Program | None:
    """The program that wrote how it made a picture or video into it; None if none is known.

    Args:
        path: The file. Of what the program wrote, only its form is looked at.
    """
    import PIL

    try:
        with convert_read_errors(path, "a picture or video"):
            try:
                with open_image(path) as picture:
                    texts = _texts_in(picture)
            except PIL.UnidentifiedImageError:
                with open_video(path, "a picture or video") as video:
                    texts = {name.lower(): text for name, text in video.metadata.items()}
    except MediaError:
        return None
    return _program_of(texts)


def _texts_in(picture: PIL.Image.Image) -> dict[str, str]:
    """The texts of a picture by name: those of a PNG, or from the EXIF of other formats."""
    import PIL.Image

    texts = {str(name): text for name, text in picture.info.items() if isinstance(text, str)}
    exif = PIL.Image.Image.getexif(picture)
    for tag in (_MAKE, _MODEL):  # ComfyUI writes "workflow:{…}" there
        name, colon, text = str(exif.get(tag, "")).partition(":")
        if colon and text.startswith("{"):
            texts[name.lower()] = text
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    if isinstance(comment, bytes):
        comment = comment[8:].decode("latin-1").replace("\0", "")  # UTF-16 of either order, or not
    texts.setdefault("comment", str(comment))
    return texts


def _program_of(texts: dict[str, str]) -> Program | None:
    prompt, comment = texts.get("prompt", ""), texts.get("comment", "")
    if texts.get("workflow", "").startswith("{") or '"class_type"' in prompt + comment[:10_000]:
        return "ComfyUI"
    if any(
        "Steps: " in text and "Sampler: " in text for text in (texts.get("parameters", ""), comment)
    ):
        return "A1111"
    return "InvokeAI" if {"invokeai_metadata", "sd-metadata", "Dream"} & texts.keys() else None
