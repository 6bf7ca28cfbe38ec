"""Runs a program and says how long it took and how much memory it held; used by the benchmarks.

The peak is `ru_maxrss` as the kernel gives it to wait4: the largest resident set of the process or of
one of the processes it waited for, not their sum. A child starts from its parent's peak, so scripts
that measure load nothing large themselves.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time


@dataclasses.dataclass
class Run:
    seconds: float
    peak_bytes: int
    output: str
    errors: str = ""
    cpu_seconds: float = 0
    system_seconds: float = 0  # of these in the kernel
    exit_code: int | None = 0  # below 0 a signal's number; None when it was stopped at the limit


def run(command, may_fail=False, limit_seconds=None):
    """Runs a command to its end, or kills it at the limit; a failure ends the script, with what the
    command said."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=errors)
        stopped = threading.Event()
        if limit_seconds:
            def stop():
                stopped.set()
                os.kill(child.pid, signal.SIGKILL)

            watch = threading.Timer(limit_seconds, stop)
            watch.start()
        _, status, usage = os.wait4(child.pid, 0)
        if limit_seconds:
            watch.cancel()
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        if child.returncode and not may_fail:
            sys.exit(f"{' '.join(command)}\nended with {child.returncode}: {said}")
        return Run(
            seconds, usage.ru_maxrss * 1024, output.read().decode(errors="replace"), said,
            usage.ru_utime + usage.ru_stime, usage.ru_stime,
            None if stopped.is_set() else child.returncode)
