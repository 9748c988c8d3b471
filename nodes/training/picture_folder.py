"""Training data from a folder of pictures; the caption of each is in a text file of its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sdgraph.errors import InvalidValueError, MediaError, Problem
from sdgraph.files import describe_path, is_folder, read_text
from sdgraph.formatting import format_count, shorten_list
from sdgraph.graph import SourceFolder
from sdgraph.media import is_sidecar
from sdgraph.values import Image

from .data import DataNode, Dataset

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PictureFolder"]

Captions = Literal["required", "file_name", "empty"]
"""What becomes of a picture without a caption file: refused, captioned by its name, or by ""."""

CAPTION_SUFFIX = ".txt"

MAX_CAPTION_BYTES = 2**20
"""The most bytes of the file with a caption."""

_CAPTIONS_CHECKED = 2_000
"""How many captions are read before a run; a training reads them all."""


class FolderDataset(Dataset):
    """The pictures of a folder, each cut to its middle square.

    The caption of NAME.png is in NAME.txt. A picture that cannot be read, or whose caption is not
    UTF-8, is left out and named in `skipped`.

    Args:
        folder: The folder.
        side: The side of the pictures in pixels.
        captions: What becomes of a picture without a caption file.

    Raises:
        InvalidValueError: No picture can be read, or captions are missing and required.
    """

    def __init__(self, folder: Path, side: int, captions: Captions = "required") -> None:
        self.side = side
        self.skipped: dict[str, str] = {}
        self._digest = blake2b(f"folder {side}".encode(), digest_size=16)
        for problem in folder_problems("pictures", folder, captions):
            raise InvalidValueError(problem)
        paths = pictures_in(folder)
        self._pictures, texts = self._read(paths, by_name=captions == "file_name")
        self.captions = tuple(texts)
        if not texts:
            first = list(self.skipped.items())[:3]
            reasons = "; ".join(f"{name}: {reason}" for name, reason in first)
            found = f"none of {len(paths)} pictures can be read ({reasons})"
            raise InvalidValueError(Problem(str(folder), found, "one at least"))

    def _read(self, paths: Sequence[Path], *, by_name: bool) -> tuple[list[Any], list[str]]:
        import numpy as np
        import PIL.ImageOps

        from sdgraph.media import read_image

        pictures, captions = [], []
        for path in paths:
            caption_path = path.with_suffix(CAPTION_SUFFIX)
            try:
                picture = read_image(path).convert("RGB")
                if caption_path.is_file():
                    caption = read_text(caption_path, MAX_CAPTION_BYTES).strip()
                else:
                    caption = path.stem if by_name else ""
            except MediaError as error:
                self.skipped[path.name] = error.problems[0].found
                continue
            except (OSError, UnicodeDecodeError) as error:
                reason = f"its caption {caption_path.name} cannot be read ({error})"
                self.skipped[path.name] = reason
                continue
            pictures.append(np.asarray(PIL.ImageOps.fit(picture, (self.side, self.side))))
            captions.append(caption)
            self._digest.update(pictures[-1].tobytes() + captions[-1].encode())
        return pictures, captions

    @property
    def content(self) -> str:
        return self._digest.hexdigest()

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        return np.stack(self._pictures)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, by their suffixes, sorted; none where it is no folder."""
    if not is_folder(folder):
        return []
    return sorted(
        path for path in folder.iterdir() if Image.reads(path) and not path.name.startswith(".")
    )


def without_caption(pictures: Sequence[Path]) -> list[Path]:
    """The pictures of a folder that have no caption file."""
    if not pictures:
        return []
    names = {path.name for path in pictures[0].parent.iterdir()}
    return [path for path in pictures if path.with_suffix(CAPTION_SUFFIX).name not in names]


def folder_problems(field: str, folder: Path, captions: Captions) -> Iterator[Problem]:
    """Why a folder cannot be trained on: there is none, no picture, or captions are missing."""
    if not is_folder(folder):
        found = f"{folder}: {describe_path(folder, 'folder')}"
        yield Problem(field, found, "a folder of pictures")
        return
    pictures = pictures_in(folder)
    if not pictures:
        yield Problem(field, f"no picture in {folder}", f"some of {', '.join(Image.suffixes)}")
        return
    missing = without_caption(pictures) if captions == "required" else []
    if missing:
        count = f"{len(missing)} of {format_count(len(pictures), 'picture')}"
        found = f"{count} without a caption file: {shorten_list([p.name for p in missing])}"
        wanted = f"a caption for each, as {missing[0].with_suffix(CAPTION_SUFFIX).name}"
        fix = "write them, or set captions: file_name (its name is its caption) or captions: empty"
        yield Problem(field, found, wanted, fix)


class PictureFolder(DataNode):
    """A folder of pictures of one's own, with the caption of NAME.png in NAME.txt."""

    path: SourceFolder = Field(description="the folder")
    side: int = Field(
        default=512, ge=32, le=2048, description="pixels; each picture is cut to a square"
    )
    captions: Captions = Field(
        default="required",
        description="of a picture without a caption file: it is refused, captioned by its file "
        "name, or has no caption",
    )

    @property
    def folder(self) -> Path:
        """The folder's path."""
        return Path(self.path)

    def check(self) -> Iterator[Problem]:
        yield from folder_problems("path", self.folder, self.captions)

    def warnings(self) -> Iterator[Problem]:
        pictures = pictures_in(self.folder)
        kept = {name for path in pictures for name in (path.name, _caption_name(path))}
        others = [
            path.name + ("/" if path.is_dir() else "")
            for path in sorted(self.folder.iterdir())
            if path.name not in kept and path.name[0] != "." and not is_sidecar(path)
        ]
        if others:
            count = format_count(len(others), "entry", "entries")
            found = f"{count} of {self.folder} left out: {shorten_list(others)}"
            wanted = f"pictures ({', '.join((*Image.suffixes, *Image.read_only_suffixes))})"
            fix = "only pictures and their captions are read; convert or move what is meant"
            yield Problem("path", found, wanted, fix)

    def known_captions(self) -> Sequence[str]:
        texts = []
        for path in islice(pictures_in(self.folder), _CAPTIONS_CHECKED):
            caption_path = path.with_suffix(CAPTION_SUFFIX)
            try:
                texts.append(read_text(caption_path, MAX_CAPTION_BYTES))
            except FileNotFoundError:
                texts.append(path.stem if self.captions == "file_name" else "")
            except (OSError, UnicodeDecodeError):
                continue  # the training leaves such a picture out and names it
        return texts

    def run(self) -> Dataset:
        return FolderDataset(self.folder, self.side, self.captions)


def _caption_name(picture: Path) -> str:
    return picture.with_suffix(CAPTION_SUFFIX).name
