"""Keeps the C library from handing every freed array back to the system.

glibc returns large blocks at once and fetches them again for the next array; each time the kernel clears every page.
For chains of mid-sized FFTs this took twice the time of the arithmetic.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
MEBIBYTE = 1024**2


@cache
def keep_freed_memory(keep_bytes: int = 256 * MEBIBYTE) -> bool:
    """Let glibc keep up to `keep_bytes` of freed memory for this process; False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (M_MMAP_THRESHOLD, 32 * MEBIBYTE),
        (M_TRIM_THRESHOLD, keep_bytes),
        (M_TOP_PAD, 16 * MEBIBYTE),
        (M_ARENA_MAX, 1),  # what one thread frees, another takes
    )
    return all(mallopt(name, value) == 1 for name, value in settings)
