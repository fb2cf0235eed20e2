"""Asks for known weaknesses of every pinned package, torch too (by pip-audit); ends with 1 where there are some.

Where the advisories cannot be reached that is said, and nothing fails: it says nothing about the packages.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

UNREACHED = re.compile(r"Connection|resolve|Timeout|timed out|Max retries|503|502")
HERE = Path(__file__).parent


def main() -> int:
    """Ask, and say."""
    weak: list[str] = []
    asked = known = 0
    makefile = (HERE.parent / "Makefile").read_text(encoding="utf-8")
    torch = re.search(r"install .* (torch==[0-9.]+)$", makefile, re.MULTILINE)
    assert torch, "the Makefile pins torch"
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "torch.txt"
        alone.write_text(torch[1] + "\n", encoding="utf-8")
        pinned = [(HERE / "run.txt", "--require-hashes"), (HERE / "dev.txt", "--require-hashes"), (alone, "--no-deps")]
        answers = [_ask(*one) for one in pinned]
    for found in answers:
        if isinstance(found, str):
            print(f"the advisories cannot be reached: {found}" if UNREACHED.search(found) else found)
            return 0 if UNREACHED.search(found) else 1
        asked, known = asked + len(found), known + sum("vulns" in one for one in found)
        weak += [
            f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
            for one in found
            for flaw in one.get("vulns", ())
        ]
    if known:
        print("\n".join(dict.fromkeys(weak)) or f"no known weakness in {known} packages")
    if known < asked:
        print(f"{asked - known} of {asked} packages could not be asked about here: the advisories do not know them")
    return bool(weak)


def _ask(file: Path, how: str) -> list[dict[str, Any]] | str:
    """What is known of these pinned packages; what went wrong, in a line."""
    command = [
        Path(sys.executable).with_name("pip-audit"),
        "--disable-pip",
        "--progress-spinner",
        "off",
        "--format",
        "json",
    ]
    done = subprocess.run([*command, "-r", str(file), how], capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        return found
    except (ValueError, KeyError):
        return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main())
