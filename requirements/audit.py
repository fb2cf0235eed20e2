"""Asks for known weaknesses of every pinned package (by pip-audit); ends with 1 where there are some.

Where the advisories cannot be reached that is said, and nothing fails: it says nothing about the packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Ask, and say."""
    weak: list[str] = []
    asked = known = 0
    for pinned in ("run.txt", "dev.txt"):
        words = [
            "-r",
            str(HERE / pinned),
            "--require-hashes",
            "--disable-pip",
            "--progress-spinner",
            "off",
            "--format",
            "json",
        ]
        done = subprocess.run(
            [Path(sys.executable).with_name("pip-audit"), *words], capture_output=True, text=True, check=False
        )
        try:
            found = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            print(f"the advisories cannot be reached: {done.stderr.strip().splitlines()[-1:]}")
            return 0
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


if __name__ == "__main__":
    sys.exit(main())
