"""Say how much memory is free on the device of a model."""

import os
from pathlib import Path

import torch

__all__ = ["free_memory"]

MEMORY, LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on the device; on a CPU without Linux, half of all there are.

    In a container the smaller of what its limit leaves and what the machine has counts.
    """
    if device.type == "cuda":
        cache = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cache  # by torch, for what comes next
    if not MEMORY.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    lines = dict(line.split(":") for line in MEMORY.read_text().splitlines())
    free = 1024 * int(lines["MemAvailable"].split()[0])
    try:
        limit = int((LIMIT / "memory.max").read_text())  # "max" where there is none
        used = int((LIMIT / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return max(0, min(free, limit - used))
