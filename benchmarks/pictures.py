"""`fittingroom best` on two folders of pictures that anybody can build, written into docs/pictures.md.

apt-get download tuxpaint-stamps-default && dpkg -x tuxpaint-stamps-default_*.deb WHERE/stamps
npm pack emoji-datasource-{google,apple,twitter}, each unpacked into WHERE/google, WHERE/apple, WHERE/twitter
python benchmarks/pictures.py build WHERE        # WHERE/four (stamps and emoji on coloured grounds), WHERE/emoji
python benchmarks/pictures.py write WHERE RUNS   # asks, and writes; what is finished is not trained again, nor timed
python benchmarks/pictures.py write WHERE RUNS four     # of one of them
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pages import table, write_block
from PIL import Image

from fittingroom.export.bundle import handed_over
from fittingroom.models.pretrained import pretrained_weights
from fittingroom.progress import Terminal
from fittingroom.questions.best import best
from fittingroom.report.best_page import against_others, headline
from fittingroom.spec.candidates import TWO_SIZES
from fittingroom.spec.pretrained import pretrained
from fittingroom.spec.read import read_shape
from fittingroom.store import Runs
from fittingroom.study.cost import machine
from fittingroom.study.workplace import Workplace

VENDORS = ("google", "apple", "twitter")
EMOJI = {  # of each class of the small folder, by subcategory; half of its pictures, the others are stamps
    "animals": "animal-mammal animal-bird animal-reptile animal-marine animal-amphibian animal-bug",
    "food": "food-fruit food-vegetable food-prepared food-sweet food-asian food-marine",
    "plants": "plant-flower plant-other",
    "vehicles": "transport-ground transport-air transport-water",
}
EACH, OF_EMOJI = 75, 35
COLUMNS = ("recipe", "held-out %", "95 % interval", "balanced %", "train %", "parameters", "train s", "ECE %")
GROUP = "data.group=re:([0-9a-f-]+)_"  # one emoji, with its skin tones, of all vendors
FOLDERS: dict[str, list[str]] = {"four": [], "emoji": [GROUP]}  # how they are read


def build(where: Path) -> None:
    """Write both folders."""
    rng, stamps, drawn = (
        random.Random(0),
        where / "stamps/usr/share/tuxpaint/stamps",
        where / "google/package/img/google/64",
    )
    known = json.loads((where / "google/package/emoji.json").read_text())
    for name, kinds in EMOJI.items():
        files = [p for p in sorted((stamps / name).rglob("*.png")) if "_mirror" not in p.name and "_flip" not in p.name]
        rng.shuffle(files)
        emoji = [p for e in known if e["subcategory"] in kinds.split() and (p := drawn / e["image"]).exists()]
        rng.shuffle(emoji)
        chosen = [*emoji[:OF_EMOJI], *files[: EACH - len(emoji[:OF_EMOJI])]]
        (where / "four" / name).mkdir(parents=True, exist_ok=True)
        for i, file in enumerate(chosen):
            ground = tuple(rng.randint(120, 255) for _ in range(3))
            image = Image.open(file).convert("RGBA")
            image.thumbnail((300, 300))
            side = max(64, int(max(image.size) * 1.2))
            page = Image.new("RGB", (side, side), ground)
            page.paste(image, ((side - image.width) // 2, (side - image.height) // 2), image)
            page.save(where / "four" / name / f"{'e' if file in emoji else 's'}{i:03}.png")
    for of in known:
        category = of["category"].replace(" & ", "-and-").replace(" ", "-")
        for one in [of, *of.get("skin_variations", {}).values()]:
            for vendor in VENDORS:
                file = where / vendor / "package/img" / vendor / "64" / one["image"]
                if file.exists():
                    place = where / "emoji" / category / f"{Path(of['image']).stem}_{file.stem}_{vendor}.png"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, place)


class Watch(Terminal):
    """Shows progress, and when the first answer came."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.first_s = time.monotonic(), 0.0

    def note(self, line: str) -> None:
        if line.startswith("a first answer"):
            self.first_s = time.monotonic() - self.started
        super().note(line)


def write(where: Path, runs: Path, folders: Sequence[str]) -> None:
    """Ask of these folders, and write what came of it."""
    for folder in folders:
        fresh, home = not (runs / "studies" / f"best-{folder}.json").exists(), runs / "home"
        for name in TWO_SIZES:
            pretrained_weights(pretrained()[name], home)
        watch = Watch()  # from here on: nothing is known of these pictures, the weights are there
        place = Workplace(runs=Runs(runs), home=home, progress=watch)
        answer = best(str(where / folder), place, shape=read_shape(FOLDERS[folder]), hand_over=handed_over)
        seconds, c = time.monotonic() - watch.started, answer.choice
        lines = [f"**{folder}**: {headline(c)} {' '.join(against_others(c))}", ""]
        head, *rows = answer.table
        shown = [i for i, name in enumerate(head) if name in COLUMNS]
        lines += [*table([head[i] for i in shown], [[row[i] for i in shown] for row in rows]), ""]
        if fresh:
            lines += [
                f"With the weights at hand the first answer came after {watch.first_s:.0f} s, all of it after {seconds:.0f} s.",
                "",
            ]
        write_block("docs/pictures.md", f"best-{folder}", [*lines, f"({machine()}; by `benchmarks/pictures.py`)"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["build", where]:
            build(Path(where))
        case ["write", where, runs, *folders]:
            write(Path(where), Path(runs), folders or [*FOLDERS])
        case _:
            sys.exit(__doc__)
