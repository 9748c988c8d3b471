"""Whether a folder lies on a disk of this machine, and not on a network drive.

A database that several machines may open at once relies on locks that network file systems often do
not keep, and on memory that only processes of one machine share.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOUNTS = "/proc/self/mountinfo"
_LOCAL = {
    *("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfsplus", "jfs"),
    *("ntfs3", "overlay", "ramfs", "reiserfs", "tmpfs", "vfat", "xfs", "zfs"),
}
"""File systems on disks and in memory of one machine; an unknown one may be a network drive."""
_OCTAL = re.compile(r"\\([0-7]{3})")


def is_on_local_disk(folder: str | Path) -> bool:
    """Whether a folder, or the nearest one above it that exists, is known to be on a local disk.

    False where the system does not tell.
    """
    try:
        mounts = Path(_MOUNTS).read_text(errors="surrogateescape")
        path = os.path.realpath(folder)
    except OSError:
        return False
    return file_system_of(path, mounts) in _LOCAL


def file_system_of(path: str, mounts: str) -> str | None:
    r"""The type of the file system that holds a path; None if none of the mounts does.

    Args:
        path: An absolute path without links.
        mounts: The mounted file systems, in the format of Linux's /proc/self/mountinfo. Of two
            mounted at one place, the later one hides the earlier.

    Example:
        >>> mounts = '''22 1 8:1 / / rw - ext4 /dev/sda1 rw
        ... 35 22 0:40 / /mnt/our\\040drive rw shared:5 - nfs4 server:/export rw'''
        >>> file_system_of("/mnt/our drive/results", mounts)
        'nfs4'
        >>> file_system_of("/mnt/our", mounts)
        'ext4'
    """
    found: tuple[int, str | None] = (-1, None)
    for line in mounts.splitlines():
        before, separator, after = line.partition(" - ")
        fields, types = before.split(" "), after.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]).rstrip("/")
        if (path == point or path.startswith(f"{point}/")) and len(point) >= found[0]:
            found = len(point), types[0]
    return found[1]
