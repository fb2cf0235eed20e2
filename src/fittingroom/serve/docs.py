"""The server's own page: what it offers, and how to ask. No script, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fittingroom.metrics.words import percent, point_words
from fittingroom.report.model_card import framing_words
from fittingroom.report.render import render
from fittingroom.serve.models import Models

PAGES = Path(__file__).parent / "pages"


def docs_page(models: Models, api: dict[str, Any], base: str) -> str:
    """HTML about the models and every address of `api` (an OpenAPI document); `base` is how the reader reached us."""
    offered = []
    for served in models.by_name.values():
        facts = served.classifier.facts
        m = facts.measured
        offered.append(
            {
                "name": served.name,
                "title": f"{facts.name} on {facts.data_title}",
                "score": f"{percent(m.accuracy)} % of {m.n:,} {m.images}, 95 % interval {percent(m.low)} to {percent(m.high)} %",
                "classes": facts.classes,
                "shape": facts.framing.shape,
                "decides": point_words(facts.operating) if facts.operating else "",
                "framing": framing_words(facts.framing),
            }
        )
    addresses = [
        {"method": method.upper(), "path": path, "about": operation.get("description", "")}
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    return render(
        "docs.html", folders=(PAGES,), models=offered, addresses=addresses, base=base,
        limits=models.settings.limits, token=bool(models.settings.token),
    )  # fmt: skip
