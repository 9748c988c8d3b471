"""The text that says how an image or video was made, in the metadata of each file format."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import PIL.Image

PNG_KEY = "sdgraph"
"""The key of the text in a PNG; in a comment, its first line."""
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
PIXELS = "pixels"
"""The entry of a record with the hash of the picture's pixels."""
_JPEG_EXIF_BYTES = 65533  # a JPEG segment counts its length in 16 bits


def pillow_metadata(format_: str, text: str) -> dict[str, Any]:
    """The arguments of Pillow's `save` that store `text` in a file; none if the format cannot."""
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    if format_ == "PNG":
        info = PngInfo()
        info.add_itxt(PNG_KEY, escape_surrogates(text))
        return {"pnginfo": info}
    if format_ == "GIF":
        return {"comment": to_comment(text).encode()}
    if format_ == "BMP":
        return {}
    # The first eight bytes name the encoding; the byte order mark of UTF-16 makes it certain.
    comment = b"UNICODE\0" + to_comment(text).encode("utf-16")
    exif = PIL.Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = comment
    data = exif.tobytes()  # bytes, because Pillow 13 drops the inner IFD of an object in a TIFF
    return {} if format_ == "JPEG" and len(data) > _JPEG_EXIF_BYTES else {"exif": data}


def text_in_picture(picture: PIL.Image.Image) -> str | None:
    """The text that `pillow_metadata` stored in a picture, or None if it has none."""
    import PIL.Image

    if picture.format == "PNG":
        text = picture.info.get(PNG_KEY)
        return str(text) if text is not None else None
    if picture.format == "GIF":
        return from_comment(bytes(picture.info.get("comment", b"")).decode("utf-8", "replace"))
    return text_in_exif(PIL.Image.Image.getexif(picture))


def text_in_exif(exif: PIL.Image.Exif) -> str | None:
    """The text that `pillow_metadata` stored in EXIF, or None if it has none."""
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    if not isinstance(comment, bytes) or not comment.startswith(b"UNICODE\0"):
        return None
    return from_comment(comment[8:].decode("utf-16", "replace"))


def add_pixel_hash(record: str, picture: PIL.Image.Image) -> str:
    """A record of sdgraph with a hash of the picture's pixels; any other text as it is."""
    if not (record.startswith('{"sdgraph_record":') and record.endswith("}")):
        return record
    return f'{record[:-1]}, "{PIXELS}": "{hash_pixels(picture)}"}}'


def hash_pixels(picture: PIL.Image.Image) -> str:
    """A hash of the pixels of a picture, its mode and its size."""
    digest = blake2b(f"{picture.mode} {picture.size}".encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.hexdigest()


def to_comment(text: str) -> str:
    """A comment with `text` that can be recognised as written by sdgraph."""
    return f"{PNG_KEY}\n{escape_surrogates(text)}"


def from_comment(comment: str) -> str | None:
    """The text in a comment that `to_comment` made, or None for any other comment."""
    return comment.removeprefix(f"{PNG_KEY}\n") if comment.startswith(f"{PNG_KEY}\n") else None


def escape_surrogates(text: str) -> str:
    r"""The text with lone surrogates (undecodable bytes of a command line) written as `\udc80`."""
    return text.encode("utf-8", "backslashreplace").decode()
