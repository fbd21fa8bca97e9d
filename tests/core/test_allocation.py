"""What is freed is kept: after some tensors the next ones of their size take no new pages."""

import subprocess
import sys

import pytest

PAGES = """
import ctypes, resource, sys, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # small pages, also where the system prefers huge ones
from catwise.core.allocation import keep_freed_memory
if "keep" in sys.argv:
    print(keep_freed_memory())
taken = []
for _ in range(40):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    taken.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(4 * 2**24 // resource.getpagesize(), *taken[20:])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_last_of_many_tensors_take_no_new_pages():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PAGES, *mode], check=True, capture_output=True, text=True
        ).stdout.split()
        for mode in ([], ["keep"])
    ]
    assert outputs[1].pop(0) == "True"
    (pages, *given_back), (_, *kept) = (map(int, words) for words in outputs)
    assert min(given_back) > 0.9 * pages
    assert max(kept) < 0.1 * pages
