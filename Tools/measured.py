"""Runs a program and says how long it took and how much memory it held; used by the benchmarks.

The peak is `ru_maxrss` as the kernel gives it to wait4: the largest resident set of the process or of
one of the processes it waited for, not their sum. A child starts from its parent's peak, so scripts
that measure load nothing large themselves.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time


@dataclasses.dataclass
class Run:
    seconds: float
    peak_bytes: int
    output: str


def run(command, may_fail=False):
    """Runs a command to its end; a failure ends the script, with what the command said."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode and not may_fail:
            sys.exit(f"{' '.join(command)}\nended with {child.returncode}: {errors.read().decode()}")
        return Run(seconds, usage.ru_maxrss * 1024, output.read().decode())
