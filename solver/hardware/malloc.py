"""The memory that the C library hands out: kept for the next use instead of given back. Knows nothing of who uses it.

glibc returns large blocks to the kernel at once and takes fresh pages for the next, and each page that is touched first
costs microseconds: prompts of 32 tasks' views are read in 1.3 s instead of 1.8 on two cores. Law: the most that is used
at one time stays the same; what is computed stays the same.
"""

import ctypes

BY_SHAPE = {  # before torch is imported: of 1,024 products kept by their shapes, the new ones of each batch add up
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",  # torch's own of the same; as fast
}
KEPT = {-3: 32 << 20, -1: 2**31 - 1, -2: 64 << 20}  # bytes: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD


def keep() -> bool:
    """Keep from now on what is freed; whether this C library can be told to."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(option, value) for option, value in KEPT.items())
