"""Packed runs: the same verdicts and judgements as whole ones, damage told, and only what is missing is trained."""

from __future__ import annotations

import base64
import json
import lzma
from pathlib import Path

import pytest

from fittingroom.metrics.verdict import Question
from fittingroom.questions.compare import compare
from fittingroom.questions.crossval import cv
from fittingroom.questions.replicate import replicate
from fittingroom.questions.report import report
from fittingroom.report.page import Compared
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.store import Evidence, Runs, load_run
from fittingroom.store.seal import Damaged, json_with_seal
from fittingroom.study.progress import Progress
from fittingroom.study.workplace import Workplace

SMALL = ["data.limit=400", "train.epochs=2", "train.precision=fp32"]
RECIPES = ("readme-004-mlp", "readme-004-mlp-tuned")
CLAIMS = ["004-mlp-mnist", "004-mlp-tuning-mnist"]


class Heard(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("evidence")
    place = Workplace(runs=Runs(folder / "runs"), device="cpu", at_once=1)
    compare([read_recipe(name, SMALL) for name in RECIPES], place, data=["mnist"], seeds=range(2), name="both")
    evidence = Evidence(folder / "evidence")
    for run in place.runs.list():
        evidence.pack(run)
    return place


@pytest.fixture
def packed(place: Workplace) -> Path:
    return place.runs.path.parent / "evidence"


def test_a_packed_run_knows_what_it_answered_and_takes_kilobytes(place: Workplace, packed: Path) -> None:
    whole = [load_run(folder) for folder in place.runs.list()]
    for a, b in zip(Evidence(packed).runs(), whole, strict=True):
        assert (a.logits_NK.argmax(1) == b.logits_NK.argmax(1)).all() and (a.labels_N == b.labels_N).all()
        assert (a.recipe, a.seed, a.data, a.metrics) == (b.recipe, b.seed, b.data, b.metrics)
        assert (a.environment, a.structure, a.epochs) == (b.environment, b.structure, b.epochs)
        assert a.packed and a.folder.name == b.folder.name and a.identity == b.identity
    files = list(packed.glob("*.json.xz"))
    assert len(files) == 4 and all(file.stat().st_size < 8_000 for file in files)


def test_reports_of_packed_and_of_whole_runs_say_the_same(place: Workplace, packed: Path, tmp_path: Path) -> None:
    nothing = Runs(tmp_path / "runs")
    packed_runs, whole = report([str(packed)], nothing), report(["both"], place.runs)
    assert isinstance(packed_runs, Compared) and isinstance(whole, Compared)
    assert packed_runs.sentences == whole.sentences and packed_runs.json()["comparisons"] == whole.json()["comparisons"]
    page = packed_runs.report(tmp_path / "page.html").read_text()
    assert "Some of these runs are packed" in page and "Can their confidence be trusted?" not in page
    one, *_ = sorted(packed.glob("*.json.xz"))
    assert report([str(one)], nothing).sentences[0].startswith("readme-004-mlp-tuned gets")
    with pytest.raises(FittingroomError, match="log_loss looks at probabilities"):
        report([str(packed)], nothing, Question("log_loss"))


def test_claims_are_judged_from_evidence_alike_and_only_what_is_missing_is_trained(
    place: Workplace, packed: Path, tmp_path: Path
) -> None:
    whole = replicate(["004"], place, claims=CLAIMS, changes=SMALL, seeds=2)
    listener = Heard()
    there = Workplace(runs=Runs(tmp_path / "runs"), device="cpu", at_once=1, progress=listener)
    kept = replicate(["004"], there, claims=CLAIMS, changes=SMALL, evidence=packed)
    assert kept.judgements == whole.judgements and not there.runs.list()
    again = replicate(["004"], there, claims=CLAIMS, changes=SMALL, seeds=2, evidence=packed)
    assert again.judgements == whole.judgements and not there.runs.list()
    copy = copied(packed, tmp_path / "more")
    more = replicate(["004"], there, claims=CLAIMS[:1], changes=SMALL, seeds=3, evidence=copy)
    assert [run.seed for run in there.runs.list()] == [2] and len(list(copy.glob("*.json.xz"))) == 5
    assert more.judgements[0].seeds == 3
    kept = replicate(["004"], there, changes=SMALL, evidence=packed)
    assert {j.id for j in kept.judgements} == set(CLAIMS)
    assert any("there is no evidence about 9 claims" in line for line in listener.lines)
    with pytest.raises(FittingroomError, match="no packed run that these 1 claims are about"):
        replicate(["004"], there, claims=["004-cnn-mnist"], changes=SMALL, evidence=packed)


def test_seeds_are_added_in_the_precision_that_is_there(packed: Path, tmp_path: Path) -> None:
    copy = copied(packed, tmp_path / "more")
    there = Workplace(runs=Runs(tmp_path / "runs"), device="cpu", at_once=1)
    left_open = SMALL[:2]  # this machine might choose bfloat16
    found = replicate(["004"], there, claims=CLAIMS[:1], changes=left_open, seeds=3, evidence=copy)
    [run] = there.runs.list()
    assert (run.seed, run.recipe.train.precision, found.judgements[0].seeds) == (2, "fp32", 3)
    other = compare([read_recipe(RECIPES[0], [*left_open, "train.precision=bf16"])], there, data=["mnist"], seeds=[7])
    Evidence(copy).pack(there.runs.find(other.stories[0].any_run.folder.name))
    assert replicate(["004"], there, claims=CLAIMS[:1], changes=left_open, evidence=copy).judgements[0].seeds == 3
    with pytest.raises(FittingroomError, match="1 packed runs of readme-004-mlp are of another precision"):
        report([str(copy)], there.runs)


def test_what_is_no_evidence_is_refused(place: Workplace, packed: Path, tmp_path: Path) -> None:
    one, *_ = sorted(packed.glob("*.json.xz"))
    with pytest.raises(FittingroomError, match="is no folder"):
        replicate(["004"], place, claims=CLAIMS, changes=SMALL, evidence=one)
    with pytest.raises(FittingroomError, match="no packed run that these 2 claims are about"):
        replicate(["004"], place, claims=CLAIMS, changes=SMALL, evidence=tmp_path / "nothing")
    there = Workplace(runs=Runs(tmp_path / "runs"), device="cpu", at_once=1)
    cv([read_recipe(RECIPES[0], SMALL)], there, folds=2, data="mnist", seeds=[0])
    with pytest.raises(FittingroomError, match="part 1 of 2 of a cross-validation"):
        Evidence(tmp_path / "parts").pack(there.runs.list()[0])
    other = copied(packed, tmp_path / "other")
    mine, *_ = sorted(other.glob("*.json.xz"))
    tree = json.loads(lzma.decompress(mine.read_bytes()))
    del tree["seal"]
    answers = bytearray(base64.b64decode(tree["beside"]))
    answers[0] = (answers[0] + 1) % 10
    mine.write_bytes(lzma.compress(json_with_seal({**tree, "beside": base64.b64encode(answers).decode()}).encode()))
    with pytest.raises(FittingroomError, match="another training of the same recipe and seed"):
        Evidence(other).pack(place.runs.find(mine.name.removesuffix(".json.xz")))


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_damaged_evidence_is_told_and_not_believed(packed: Path, tmp_path: Path) -> None:
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    one, *_ = sorted(tmp_path.glob("*.json.xz"))
    whole = one.read_bytes()
    changed = lzma.compress(lzma.decompress(whole).replace(b'"seed": 0', b'"seed": 9'))
    unsealed = lzma.compress(
        json.dumps({k: v for k, v in json.loads(lzma.decompress(whole)).items() if k != "seal"}).encode()
    )
    for damaged in (
        unsealed,
        whole[:-9],
        whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        changed,
        b"",
        whole + b"more",
    ):
        one.write_bytes(damaged)
        with pytest.raises(Damaged, match=r"\.json\.xz .*delete it, and train the same again"):
            list(Evidence(tmp_path).runs())
    one.write_bytes(whole)
    [truth] = tmp_path.glob("truth-*.npz")
    truth.unlink()
    with pytest.raises(Damaged, match="truth-.* is missing"):
        list(Evidence(tmp_path).runs())
