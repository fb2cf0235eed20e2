"""What a mistake on the command line is answered with."""

from __future__ import annotations

import subprocess


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """A user's mistake: exit code 2, one message, no traceback, nothing on standard output."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr and done.stdout == ""
    return " ".join(done.stderr.split())
