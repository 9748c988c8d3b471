"""The text of how a picture or film was made, as each format of file can carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import PIL.Image

_KEY = "sdgraph"  # names our text in PNG, and begins it wherever a comment could be anyone's
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_JPEG_EXIF_BYTES = 65533  # a JPEG segment counts its length in 16 bits


def pillow_marks(format_: str, text: str) -> dict[str, Any]:
    """The arguments by which Pillow stores `text` in a file; none when the format cannot."""
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    if format_ == "PNG":
        info = PngInfo()
        info.add_itxt(_KEY, spelled_out(text))
        return {"pnginfo": info}
    if format_ == "GIF":
        return {"comment": signed(text).encode()}
    if format_ == "BMP":
        return {}
    # The first eight bytes name the encoding, and the byte order mark makes it certain.
    comment = b"UNICODE\0" + signed(text).encode("utf-16")
    exif = PIL.Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = comment
    data = exif.tobytes()  # as an object, Pillow 13 leaves the inner IFD out of a TIFF
    return {} if format_ == "JPEG" and len(data) > _JPEG_EXIF_BYTES else {"exif": data}


def text_in(picture: PIL.Image.Image) -> str | None:
    """The text that `pillow_marks` put into a picture, or None if it has none."""
    import PIL.Image

    if picture.format == "PNG":
        text = picture.info.get(_KEY)
        return str(text) if text is not None else None
    if picture.format == "GIF":
        return unsigned(bytes(picture.info.get("comment", b"")).decode("utf-8", "replace"))
    comment = PIL.Image.Image.getexif(picture).get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    if not isinstance(comment, bytes) or not comment.startswith(b"UNICODE\0"):
        return None
    return unsigned(comment[8:].decode("utf-16", "replace"))


def signed(text: str) -> str:
    """A comment that holds `text` and is known again as ours."""
    return f"{_KEY}\n{spelled_out(text)}"


def unsigned(comment: str) -> str | None:
    """The text that `signed` made `comment` of, or None when it is somebody else's."""
    return comment.removeprefix(f"{_KEY}\n") if comment.startswith(f"{_KEY}\n") else None


def spelled_out(text: str) -> str:
    """`text`, with half a surrogate pair (a stray byte of a command line) spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
