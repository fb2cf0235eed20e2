"""Where the models fail: confusions with intervals, each class, and the pictures behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from fittingroom.metrics.classes import Confusion, class_scores, most_confused
from fittingroom.metrics.story import Story
from fittingroom.metrics.words import percent
from fittingroom.report.pictures import data_uri, png_bytes, sheet

GALLERY = 18  # images in each
EXPLORED = 1500  # images in the gallery with filters: mistakes first, then the least sure
COLUMNS = 50  # of its picture


def confusions(story: Story, recipe: str) -> list[Confusion]:
    """The most frequent confusions of a recipe over its seeds."""
    return most_confused(story.predicted(recipe), story.labels_N, len(story.data.classes), design=story.any_run.design)


def confusion_words(story: Story, c: Confusion) -> str:
    """A confusion as half a sentence, with its interval."""
    classes = story.data.classes
    return (
        f"{c.count:.0f} of the “{classes[c.true]}” images ({100 * c.share:.1f} % [{100 * c.low:.1f}, {100 * c.high:.1f}]) "
        f"are taken for “{classes[c.predicted]}”"
    )


def mistakes(story: Story, recipe: str, drawn: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A recipe's part of the section: figures, confusions, classes, its most confident mistakes."""
    counts, classes = story.confusion(recipe), story.data.classes
    by_class = class_scores(counts)
    off = counts * (1 - np.eye(len(classes)))
    taken = [classes[row.argmax()] if row.any() else "" for row in off]
    names = ("precision", "recall", "f1")
    return {
        "recipe": recipe,
        "confusion": drawn[f"confusion-{recipe}"],
        "rates": drawn[f"rates-{recipe}"],
        "pairs": [confusion_words(story, c) for c in confusions(story, recipe)],
        "classes": [
            [c, *(percent(getattr(by_class, f"{n}_K")[k], 1) for n in names), f"{by_class.support_K[k]:,.0f}", taken[k]]
            for k, c in enumerate(classes)
        ]
        + [
            [mean, *(percent(getattr(by_class, mean)(n), 1) for n in names), f"{by_class.support_K.sum():,.0f}", ""]
            for mean in ("macro", "weighted")
        ],
        "gallery": [pictured(one) for one in confident_mistakes(story, recipe)],
    }  # fmt: skip


def confident_mistakes(story: Story, recipe: str, most: int = GALLERY) -> list[dict[str, Any]]:
    """The test images that a recipe is most confidently wrong about, the surest first, as `gallery` gives them."""
    p_NK, classes = story.probabilities[recipe], story.data.classes
    predicted_N = story.answers[recipe]
    confidence_N = p_NK[np.arange(len(p_NK)), predicted_N]
    wrong = np.flatnonzero(predicted_N != story.labels_N)
    worst = wrong[np.argsort(-confidence_N[wrong], kind="stable")][:most]
    lines = {int(i): [f"said {classes[predicted_N[i]]}", f"{100 * confidence_N[i]:.0f} % sure"] for i in worst}
    return gallery(story, lines)


def only_one_is_right(story: Story) -> list[dict[str, Any]]:
    """Images that the best gets right and another doesn't, and the reverse; the clearest first, by mean probabilities."""
    best, *others = story.runs
    found = []
    for other in others:
        for right, wrong in ((best, other), (other, best)):
            p_right, p_wrong = story.probabilities[right], story.probabilities[wrong]
            labels, said = story.labels_N, story.answers[wrong]
            rows = np.flatnonzero((story.answers[right] == labels) & (said != labels))
            margin = p_right[rows, labels[rows]] - p_wrong[rows, labels[rows]]
            clearest = rows[np.argsort(-margin, kind="stable")][: GALLERY // 2]
            lines = {int(i): [f"said {story.data.classes[said[i]]}"] for i in clearest}
            found.append({"right": right, "wrong": wrong, "gallery": [pictured(one) for one in gallery(story, lines)]})
    return found


def gallery(story: Story, lines: Mapping[int, list[str]]) -> list[dict[str, Any]]:
    """Test images (`picture`, (C,H,W) uint8) by row with lines of words; empty where the pictures are not at hand."""
    if story.thumbnails_NCHW is None:
        return []
    classes = story.data.classes
    return [
        {
            "row": row, "called": story.called(row), "picture": story.thumbnails_NCHW[row],
            "true": classes[story.labels_N[row]], "lines": said,
        }
        for row, said in lines.items()
    ]  # fmt: skip


def pictured(one: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with its picture as a page shows it."""
    return {**one, "image": data_uri(png_bytes(one["picture"]))}


def wrong_pictures(story: Story) -> list[list[str]]:
    """A table (head first) of the pictures that any recipe gets wrong, those that all are surest about first."""
    p_RNK = np.stack([story.probabilities[recipe] for recipe in story.runs])
    said_RN, classes = np.stack(list(story.answers.values())), story.data.classes
    own_N = p_RNK[:, np.arange(len(story.labels_N)), story.labels_N].min(0)
    wrong = np.flatnonzero((said_RN != story.labels_N).any(0))
    rows = wrong[np.argsort(own_N[wrong], kind="stable")].tolist()
    return [
        ["picture", "data", "true", *(f"{recipe} says" for recipe in story.runs)],
        *(
            [story.called(i), story.data.name, classes[story.labels_N[i]], *(classes[c] for c in said_RN[:, i])]
            for i in rows
        ),
    ]


def explorer(story: Story) -> dict[str, Any] | None:
    """The gallery that filters in the page: one picture of many images, and what each recipe says of each.

    `facts` is JSON for the page's script: class names, recipes, and for each image its row, true class, and each recipe's
    predicted class and confidence in percent. Escaped so that it can stand in a script element. None without pictures.
    """
    if story.thumbnails_NCHW is None:
        return None
    p_RNK = np.stack([story.probabilities[recipe] for recipe in story.runs])
    said_RN = np.stack(list(story.answers.values()))
    sure_RN = np.take_along_axis(p_RNK, said_RN[:, :, None], axis=2)[:, :, 0]
    wrong_N = (said_RN != story.labels_N).any(0)
    own_N = p_RNK[:, np.arange(len(story.labels_N)), story.labels_N].min(0)  # of the true class, by the worst recipe
    rows = np.lexsort((own_N, ~wrong_N))[:EXPLORED]
    _, height, width = story.thumbnails_NCHW.shape[1:]
    facts = {
        "classes": story.data.classes,
        "recipes": list(story.runs),
        "columns": COLUMNS,
        "size": [width, height],
        "called": [story.called(row) for row in rows.tolist()],
        "true": story.labels_N[rows].tolist(),
        "said": said_RN[:, rows].tolist(),
        "sure": np.rint(100 * sure_RN[:, rows]).astype(int).tolist(),
    }
    text = json.dumps(facts, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return {
        "facts": text,
        "image": data_uri(png_bytes(sheet(story.thumbnails_NCHW[rows], COLUMNS, gap=0))),
        "shown": f"{len(rows):,}",
        "wrong": f"{int(wrong_N[rows].sum()):,}",
        "all_wrong": f"{int(wrong_N.sum()):,}",
    }
