"""The notebook's door: what there is, what comes back, networks and data of one's own, mistakes that read."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import fittingroom as fr
from fittingroom.models import MODELS
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import Runs

QUICK = ("train.epochs=1", "data.limit=600")


class Two(nn.Module):
    """A network of a person's own."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes)
        )

    def forward(self, x: Any) -> Any:
        return self.layers(x)


def mynet(channels, size, classes, *, width=16):  # type: ignore[no-untyped-def]
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], width), nn.Linear(width, classes))


# ---------------------------------------------------------------- the door


def test_tab_shows_what_there_is_and_a_room_hides_no_function() -> None:
    import fittingroom.data.own  # which sets an attribute of the package

    assert dir(fr) == fr.__all__ == sorted(fr.__all__)
    for name in fr.__all__:
        assert callable(getattr(fr, name)) and inspect.getdoc(getattr(fr, name)), name
    assert fittingroom.data is fr.data and "fashion-mnist" in [row["name"] for row in fr.data()]
    with pytest.raises(AttributeError, match="nothing"):
        _ = fr.nothing


def test_importing_it_is_cheap() -> None:
    script = "import fittingroom, sys; print([m for m in ('torch', 'numpy', 'rich', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_every_function_that_works_takes_the_same_keywords_for_where() -> None:
    from fittingroom.api import ASKED, DEFAULTS

    working = [name for name in fr.__all__ if name not in ("Recipe", "Run", "recipes", "models", "data", "runs")]
    for name in working:
        parameters = inspect.signature(getattr(fr, name)).parameters
        assert {n: parameters[n].default for n in DEFAULTS} == DEFAULTS, name
        own = [p for p in parameters.values() if p.name not in ASKED | DEFAULTS and p.kind is not p.VAR_POSITIONAL]
        assert len(own) <= 8 and all(p.annotation is not p.empty for p in own), name
    with pytest.raises(FittingroomError, match='unknown keyword "devise"; nearest: "device"'):
        fr.train("readme-004-mlp", devise="cpu")


def test_lists_are_tidy_tables() -> None:
    found = fr.recipes()
    assert found.table[0] == list(found[0]) and len(found.table) == 1 + len(found)
    assert ">readme-004-mlp</td>" in found._repr_html_() and "readme-004-mlp" in repr(found)
    assert {"fastnet", "sequential"} <= {row["name"] for row in fr.models()}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: fr.compare([]), "name at least one recipe"),
        (lambda: fr.compare("readme-004-mlp", seeds=0), "at least 1"),
        (lambda: fr.train("readme-004-mlp", {"train.epochs": 1}), "write strings"),  # type: ignore[arg-type]
        (lambda: fr.Run("nowhere"), 'unknown run "nowhere"'),
        (lambda: fr.load_data("fashion"), 'nearest: "fashion-mnist"'),
        (lambda: fr.train(3), "is no recipe and no network"),  # type: ignore[arg-type]
        (lambda: fr.train("readme-004-mlp", data=(np.zeros((3, 8, 8)), [0, 1])), "as many labels as images"),
    ],
)
def test_mistakes(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(FittingroomError, match=text):
        call()


# ---------------------------------------------------------------- what comes back


def test_data_sets_print_in_a_line_are_equal_by_content_and_show_themselves() -> None:
    a, b, other = fr.load_data("fashion-mnist"), fr.load_data("fashion-mnist"), fr.load_data("mnist")
    assert a == b and a != other and len({a, b, other}) == 2
    assert repr(a) == "<Dataset fashion-mnist: 60,000 training and 10,000 locked test images, 1×28×28>"
    assert "10,000 locked test images" in a._repr_html_() and len(repr(a.train)) < 80
    html = a.show()._repr_html_()
    assert (
        html.count("<img") == 10
        and "<svg" in html
        and "T-shirt/top" in html
        and "http://" not in html.replace("http://www.w3.org", "")
    )


def test_a_run_predicts_what_it_recorded_and_shows_itself(capsys: pytest.CaptureFixture[str]) -> None:
    run = fr.train("readme-001-base", *QUICK, data="mnist")
    assert "mirrors images" in capsys.readouterr().err  # what the command line tells, the notebook tells, too
    logits, _ = run.logits()
    test = fr.load_data("mnist").test.unlock(lambda: None)
    p = run.predict(test.images_NCHW[:50])
    assert np.array_equal(p.argmax(1), logits[:50].argmax(1)) and np.allclose(p.sum(1), 1)
    assert not run.model.training and "test accuracy" in run._repr_html_()
    assert [row["epoch"] for row in run.history] == [1] and "val_loss" in run.history[0]
    for figure in (run.plot(), run.confusion(), run.confusion(share=True), run.structure()):
        assert figure._repr_svg_().startswith("<svg")
    assert run.mistakes(5)._repr_html_().count("<img") == 5
    assert run.plot().save("curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FittingroomError, match=r"curves.pdf: a figure is saved as .png or .svg"):
        run.plot().save("curves.pdf")
    with pytest.raises(FittingroomError, match=r"takes uint8 images of shape \(N, 1, 28, 28\)"):
        run.predict(test.images_NCHW[:50] / 255.0)
    assert fr.runs("readme-001")[0]["run"] == run.path.name and fr.Run(run.path.name[:12]).path.name == run.path.name


@pytest.mark.slow
def test_sentences_table_json_report_and_notebook_say_the_same() -> None:
    answer = fr.compare(["readme-004-mlp", "readme-004-cnn"], *QUICK, seeds=2, at_once=1, quiet=True)
    told = answer.json()["comparisons"][0]
    assert told["sentences"] == answer.sentences and answer.verdict == " ".join(answer.sentences)
    page = answer.report("verdict.html").read_text()
    for sentence in answer.sentences:
        assert sentence in page and sentence in answer._repr_html_() and sentence in repr(answer)
    score = answer.table[1][1]
    assert score == f"{100 * answer.rows[0].score:.2f}" and score in page and score in answer._repr_html_()
    assert list(answer.figures)[:2] == ["accuracy", "differences"] and answer.plot()._repr_svg_().startswith("<svg")
    with pytest.raises(FittingroomError, match='unknown figure "diferences"; nearest: "differences"'):
        answer.plot("diferences")
    again = fr.compare(["readme-004-mlp", "readme-004-cnn"], *QUICK, seeds=2, at_once=1, quiet=True)
    assert again.json() == answer.json()  # what is trained is not trained again


def test_a_study_file_is_taken_as_on_the_command_line() -> None:
    Path("study.toml").write_text('seeds = 2\nrecipes = ["readme-004-mlp"]\n')
    answer = fr.compare("study.toml", *QUICK, at_once=1, quiet=True)
    assert answer.rows[0].seeds == (0, 1) and answer.study == "study"


@pytest.mark.slow
def test_folds_are_parts_of_their_study_and_the_study_is_answered_again() -> None:
    answer = fr.cv("readme-004-mlp", *QUICK, folds=2, seeds=1, at_once=1, quiet=True)
    runs = Runs(Path("runs"))
    assert [run.part for run in runs.list()] == ["fold 1 of 2", "fold 2 of 2"] and runs.list(parts=False) == []
    assert len(fr.runs()) == 0 and len(fr.runs(parts=True)) == 2 and runs.test_reads() == {}
    with pytest.raises(FittingroomError, match="unknown run or study"):
        runs.select(["readme-004"])  # the beginning of a name means none of them
    from fittingroom.questions.report import report

    assert report([answer.study], runs).json()["comparisons"] == answer.json()["comparisons"]


# ---------------------------------------------------------------- of one's own


@pytest.mark.slow
def test_a_network_of_ones_own_is_compared_by_parallel_workers_and_made_again_from_its_run() -> None:
    answer = fr.compare({"mine": Two, "mlp": "readme-004-mlp"}, *QUICK, seeds=2, at_once=2, quiet=True)
    assert {row.recipe for row in answer.rows} == {"mine", "mlp"}
    run = fr.Run(next(r.path for r in Runs(Path("runs")).list() if r.name.startswith("mine")))
    assert "class Two" in "".join(run.recipe.model.sources.values())
    images = fr.load_data().test.unlock(lambda: None).images_NCHW[:20]
    script = (
        f"import fittingroom as fr, numpy as np\nnp.save('p.npy', fr.Run({str(run.path)!r}).predict(np.load('x.npy')))"
    )
    np.save("x.npy", images)
    subprocess.run([sys.executable, "-c", script], check=True)  # where nobody has heard of the class
    assert np.array_equal(np.load("p.npy").argmax(1), run.logits()[0][:20].argmax(1))


@pytest.mark.slow
def test_a_registered_network_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS, "functions", dict(MODELS.functions))

    MODELS.register(mynet)
    MODELS.register(mynet)  # the cell is run once more
    answer = fr.compare(["mynet"], *QUICK, "model.args.width=4", seeds=2, at_once=2, quiet=True)
    assert answer.rows[0].parameters == 784 * 4 + 4 + 4 * 10 + 10
    with pytest.raises(FittingroomError, match="widht: no such key; nearest: .width."):
        fr.train("mynet", *QUICK, "model.args.widht=4", quiet=True)


def test_arrays_and_loaded_data_are_data() -> None:
    garments = fr.load_data()
    images, labels = garments.train.images_NCHW[:300], [garments.classes[i] for i in garments.train.labels_N[:300]]
    run = fr.train("readme-004-mlp", "train.epochs=1", data=(images, labels), quiet=True)
    assert set(run.folder.data.classes) == set(labels) and run.folder.data.name.startswith("arrays-")
    again = fr.train("readme-004-mlp", "train.epochs=1", data=fr.load_data((images, labels)), quiet=True)
    assert again.path == run.path
    with pytest.raises(FittingroomError, match="was loaded as 1×28×28 images, but the recipe asks for others"):
        fr.train("readme-004-mlp", "data.image_size=14", data=garments, quiet=True)


def test_a_first_recipe_and_a_bundle() -> None:
    assert fr.new("garments", "fashion-mnist", quiet=True).read_text().startswith('name = "garments"')
    run = fr.train("readme-004-mlp", *QUICK, quiet=True)
    bundle = fr.export(run, quiet=True)
    assert bundle.parity.changed_predictions == 0
    from PIL import Image

    Image.fromarray(fr.load_data().train.images_NCHW[0, 0]).save("boot.png")
    Path("no.png").write_text("no picture")
    rows = fr.predict(run, "boot.png", "no.png", quiet=True)
    assert [bool(row["fault"]) for row in rows] == [False, True] and len(rows[0]["top"]) == 3


# ---------------------------------------------------------------- in a notebook


@pytest.mark.slow
def test_a_mistake_ends_in_one_sentence_and_progress_is_one_display() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    cells = [
        "import fittingroom as fr\nfr.train('readme-004-mlp', 'train.epochs=3', 'data.limit=20000')",
        "fr.train('readme-004-mpl')",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbclient.NotebookClient(book, timeout=300, allow_errors=True).execute()
    trained, mistake = (cell.outputs for cell in book.cells)
    assert sum(out.output_type == "display_data" for out in trained) <= 1
    assert not any("Warning" in out.get("text", "") for out in trained)
    [error] = mistake
    assert error.traceback == ['FittingroomError: unknown recipe "readme-004-mpl"; nearest: "readme-004-mlp"; '
                               "see: fittingroom recipes (or give the path of a .toml file)"]  # fmt: skip
