"""The pages' scripts are whole: every name that one takes from another is there, and Node reads each."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

PACKAGE = Path(str(resources.files("fittingroom")))
SCRIPTS = {file.name: file for folder in ("web", "ui/pages") for file in (PACKAGE / folder).glob("*.js")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_imported_is_exported(name: str) -> None:
    for names, source in re.findall(r"import \{([^}]+)\} from \"\./([\w.]+)\"", SCRIPTS[name].read_text()):
        there = SCRIPTS[source].read_text()
        for one in names.split(","):
            assert re.search(
                rf"export (?:async )?(?:function|class|const) {one.strip()}\b|export \{{[^}}]*\b{one.strip()}\b", there
            )


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_no_nonsense(name: str, tmp_path: Path) -> None:
    """Its syntax, and no property of a name that nothing defines (a search and replace once made `jscamera.on` of `json()`)."""
    text = SCRIPTS[name].read_text()
    (tmp_path / "script.mjs").write_text(text)
    subprocess.run(["node", "--check", tmp_path / "script.mjs"], check=True, capture_output=True)
    assert not re.search(r"\w+camera\.on\b", text)
