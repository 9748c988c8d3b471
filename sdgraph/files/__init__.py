"""Files: their paths, reading and writing them whole, and where a run may write."""

from __future__ import annotations

from .file_formats import FileFormat, file_format
from .media_errors import (
    convert_read_errors,
    raise_media_error,
    raise_too_large,
    raise_wrong_kind,
)
from .output_folders import OutputFolders, refuse_outside, write_only_in
from .paths import describe_path, expand_home, runs_folder, sdgraph_home
from .plain_files import (
    UnsuitableFileError,
    hash_files,
    is_file,
    is_folder,
    is_there,
    memory_bytes,
    names_in,
    open_regular_file,
    read_bytes,
    read_text,
    resolve_path,
    special_kind,
)
from .shipped_workflows import shipped_workflows
from .stamps import SETTLING_NS, FileStamp, folder_stamp, tree_stamps
from .temporary import remove_leftovers, temporary_name
from .writing import (
    DISK_FULL,
    UNWRITABLE,
    Existing,
    atomic_write,
    flush_to_disk,
    move_to_free_path,
    raise_write_error,
)

__all__ = [
    "DISK_FULL",
    "SETTLING_NS",
    "UNWRITABLE",
    "Existing",
    "FileFormat",
    "FileStamp",
    "OutputFolders",
    "UnsuitableFileError",
    "atomic_write",
    "convert_read_errors",
    "describe_path",
    "expand_home",
    "file_format",
    "flush_to_disk",
    "folder_stamp",
    "hash_files",
    "is_file",
    "is_folder",
    "is_there",
    "memory_bytes",
    "move_to_free_path",
    "names_in",
    "open_regular_file",
    "raise_media_error",
    "raise_too_large",
    "raise_write_error",
    "raise_wrong_kind",
    "read_bytes",
    "read_text",
    "refuse_outside",
    "remove_leftovers",
    "resolve_path",
    "runs_folder",
    "sdgraph_home",
    "shipped_workflows",
    "special_kind",
    "temporary_name",
    "tree_stamps",
    "write_only_in",
]
