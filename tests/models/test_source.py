"""A person's own network as text: what is executed is what is kept; what cannot be kept is refused with its name."""

from __future__ import annotations

import importlib
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook import Notebook
from torch import nn

from fittingroom.models import MODELS, build, with_sources
from fittingroom.models.source import capture, joined, network
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ModelSpec

SHAPE, K = (1, 28, 28), 10
PLAIN = """from torch import nn
def build(channels, size, classes, hidden=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], hidden), nn.ReLU(), nn.Linear(hidden, classes))
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    made = Notebook(monkeypatch)
    made.run("import torch\nimport torch.nn.functional as F\nfrom torch import nn\n")
    return made


def write(here: Path, files: dict[str, str]) -> None:
    """Python files, by their paths without .py."""
    for name, text in files.items():
        path = here / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def spec(found: tuple[str, dict[str, str]], **args: Any) -> ModelSpec:
    return ModelSpec(kind="python", target=found[0], sources=found[1], args=args)


def said(model: nn.Module) -> torch.Tensor:
    """What a network says of one image."""
    with torch.no_grad():
        return model.eval()(torch.linspace(0, 1, 784).reshape(1, *SHAPE))


# ---------------------------------------------------------------- files


def test_an_edited_module_is_another_network_in_the_same_process(here: Path) -> None:
    """Python's own import goes on with the module as it was first read."""
    write(here, {"edited": PLAIN})
    sys.path.insert(0, str(here))
    try:
        importlib.import_module("edited")
        first = capture("edited:build")
        write(here, {"edited": PLAIN.replace("ReLU", "Tanh")})
        second = capture("edited:build")
        assert importlib.import_module("edited").build(1, (28, 28), 2)[2].__class__ is nn.ReLU  # not touched
    finally:
        sys.path.remove(str(here))
        del sys.modules["edited"]
    assert first == ("edited:build", {"edited": PLAIN}) and second[1]["edited"] != PLAIN
    models = [build(spec(found), SHAPE, K) for found in (first, second, first)]
    assert [type(model.body[2]) for model in models] == [nn.ReLU, nn.Tanh, nn.ReLU]  # type: ignore[index]
    assert torch.equal(said(models[0]), said(models[2])) and not torch.equal(said(models[0]), said(models[1]))


def test_a_package_is_the_files_that_were_executed(here: Path) -> None:
    files = {
        "pkg/__init__": "VERSION = 1\n",
        "pkg/net": (
            "from . import VERSION\nfrom .blocks import block\nimport pkg.heads as heads\nimport pkg.deep.end, helper\n"
            "from importlib import import_module\n"
            "def build(channels, size, classes):\n"
            "    import late\n"
            "    names = ['also']\n"
            "    assert VERSION == 1 and import_module(names[0]).X == pkg.deep.end.X == helper.X == late.X\n"
            "    return nn.Sequential(block(), heads.head(classes))\n"
            "from torch import nn\n"
        ),
        "pkg/blocks": "from torch import nn\nfrom pkg import net\ndef block(): return nn.Flatten()\n",  # a circle
        "pkg/heads": "from torch import nn\ndef head(classes): return nn.Linear(784, classes)\n",
        "pkg/deep/end": "X = 1\n",  # a folder without __init__.py
        "pkg/unused": "raise RuntimeError('nobody asked')\n",
        **dict.fromkeys(("helper", "also", "late"), "X = 1\n"),
    }
    write(here, files)
    found = with_sources(ModelSpec(kind="python", target="pkg.net:build"), SHAPE, K)
    names = ["also", "helper", "late", "pkg", "pkg.blocks", "pkg.deep.end", "pkg.heads", "pkg.net"]
    assert list(found.sources) == names
    assert joined(found.sources) == "\n".join(found.sources[name] for name in names)
    for file in here.rglob("*.py"):
        file.unlink()
    assert said(build(found, SHAPE, K)).shape == (1, K)
    assert not {name.partition(".")[0] for name in names} & sys.modules.keys()


def test_a_module_that_comes_too_late_is_refused_and_not_read(here: Path) -> None:
    write(here, {"slow": "X = 1\n", "net": (
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self, classes): super().__init__(784, classes)\n"
        "    def forward(self, x):\n"
        "        if self.training:\n"
        "            try: import slow\n"
        "            except ImportError: pass\n"
        "        return super().forward(x.flatten(1))\n"
    )})  # fmt: skip
    model = build(ModelSpec(kind="python", target="net:Net"), SHAPE, K)
    assert said(model).shape == (1, K)
    with pytest.raises(
        FittingroomError, match=r'own module "slow" is imported too late .*\(net\): import it at the top'
    ):
        model.train()(torch.zeros(2, *SHAPE))


def test_a_mistake_is_told_with_the_file_and_the_line(here: Path) -> None:
    wrong = "from torch import nn\n\ndef build(channels):\n    return nn.Linear(channels, 'ten')\n"
    write(here, {"wrong": wrong, "broken": "def f(:\n"})
    for target, text in {
        "wrong:build": rf"model.target: wrong:build failed: TypeError: .*\({here}/wrong.py, line 4\)$",
        "broken:f": r"cannot import broken: SyntaxError: .*broken.py, line 1",
        "wrong:other": r'wrong has no function "other"; write "module:function"',
        "nowhere:build": rf"cannot import nowhere from {here}: there is no such module",
    }.items():
        with pytest.raises(FittingroomError, match=text):
            build(ModelSpec(kind="python", target=target), SHAPE, K)
    found = ("wrong:build", {"wrong": f"import not_there\n{wrong}"})
    with pytest.raises(
        FittingroomError, match=r"No module named 'not_there' \(<wrong \w+>, line 1: import not_there\); install it"
    ):
        build(spec(found), SHAPE, K)


def test_of_what_is_installed_the_version_is_kept(here: Path) -> None:
    target, sources = capture("torch.nn:Linear")
    assert target == "own_code:Linear"
    assert sources["own_code"].splitlines() == [f"# torch {torch.__version__}", "from torch.nn import Linear"]
    assert network(spec((target, sources))) is nn.Linear
    assert capture(nn.Linear)[0] == "own_code:Linear"


@pytest.mark.parametrize(
    ("parameters", "given"),
    [
        ("channels, size, classes", [1, (28, 28), 10]),
        ("in_channels, num_classes", [1, 10]),
        ("n_classes, depth=3", [10, 5]),
        ("*, classes, channels", [10, 1]),
        ("", []),
        ("**given", [1, (28, 28), 10]),
    ],
)
def test_a_function_is_given_what_it_names(here: Path, parameters: str, given: list[Any]) -> None:
    names = [name.split("=")[0].strip() for name in parameters.split(",") if name.strip() not in ("", "*")]
    values = "list(given.values())" if "**" in parameters else f"[{', '.join(names)}]"
    text = (
        f"from torch import nn\ndef build({parameters}):\n    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
        f"    net.given = {values}\n    return net\n"
    )
    write(here, {"asks": text})
    args = {"depth": 5} if "depth" in parameters else {}
    assert build(ModelSpec(kind="python", target="asks:build", args=args), SHAPE, K).body.given == given


def test_what_it_does_not_take_is_told(here: Path) -> None:
    write(here, {"plain": PLAIN})
    with pytest.raises(
        FittingroomError, match=r"cannot be called: got an unexpected keyword argument 'hiden'; .* num_classes"
    ):
        build(ModelSpec(kind="python", target="plain:build", args={"hiden": 5}), SHAPE, K)


# ---------------------------------------------------------------- cells and scripts

CELL = """
WIDTH, RATE = 4, float("inf")
ACTS = {"relu": nn.ReLU, "mine": [None]}

def doubled(n: "Unknown") -> Unknown:
    return sum([n, n])
"""
NET = """
class Act(nn.Module):
    def forward(self, x):
        return F.relu(x) if RATE > 0 else sum(x)

class Net(Base):
    act = ACTS["relu"]()

    def __init__(self, channels, classes, width=WIDTH):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784 * channels, doubled(width)), Act())
        self.head = nn.Linear(doubled(width), classes)

    def forward(self, x):
        def inner(x):
            return self.head(self.act(x)), __class__
        return inner(self.layers(x))[0]
"""


def test_a_class_of_a_notebook_takes_along_what_it_uses(notebook: Notebook, here: Path) -> None:
    notebook.run("class Base(nn.Module): pass\nx = torch.zeros(3); width = open  # names of variables inside, too")
    for cell in (CELL.replace("Unknown", "int"), NET):
        notebook.run(cell)
    target, sources = capture(notebook["Net"])
    assert target == "own_code:Net" and capture(notebook["Net"]) == (target, sources)
    text = sources["own_code"]
    for part in (
        "import torch.nn.functional as F\nfrom torch import nn\n",
        "WIDTH = 4\n",
        'RATE = float("inf")\n',
        NET.partition("class Net")[0],
    ):
        assert part.strip() in text, text
    assert "x = " not in text and "import torch\n" not in text
    model = build(spec((target, sources), width=3), SHAPE, K)
    assert said(model).shape == (1, K) and model.body.head.in_features == 6
    notebook.run(CELL.replace("= 4, f", "= 5, f").replace("Unknown", "int"))
    assert capture(notebook["Net"])[1]["own_code"] == text.replace("WIDTH = 4", "WIDTH = 5")
    notebook.run(NET.replace("sum(x)", "max(x)"))  # the cell is edited and run again
    assert "max(x)" in capture(notebook["Net"])[1]["own_code"]


def test_the_same_cells_give_the_same_text_in_another_order(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Notebook(monkeypatch)
    other.run("from torch import nn\nimport torch, torch.nn.functional as F\nprint")
    cells = ["class Base(nn.Module): pass", CELL.replace("Unknown", "int"), NET]
    for cell in cells:
        other.run(cell)
    theirs = capture(other["Net"])
    monkeypatch.setitem(sys.modules, "__main__", notebook.main)
    notebook.run("\n".join(cells))
    assert capture(notebook["Net"]) == theirs


def test_parts_stand_behind_what_they_need(notebook: Notebook) -> None:
    """Circles of calls, a name of Python's own, a decorator, a class inside a class, another name for a function."""
    notebook.run(
        "import functools\n"
        "def len(x): return 784 if x else late(x)\n"
        "def late(x): return len(x)\n"
        "def twice(f):\n"
        "    @functools.wraps(f)\n"
        "    def inner(*given): return f(*given) * scale\n"
        "    return inner\n"
        "scale = 2\n"
        "@twice\n"
        "def wide(n): return n\n"
        "again = wide\n"
        "class Outer:\n"
        "    class Net(nn.Module):\n"
        "        size = again(3)\n"
        "        def __init__(self, classes):\n"
        "            super().__init__()\n"
        "            self.a, self.b = nn.Linear(len(True), self.size), nn.Linear(self.size, classes)\n"
        "        def forward(self, x): return self.b(self.a(x.flatten(1)))\n"
        "build = lambda classes: Outer.Net(classes)\n"
    )
    found = [capture(notebook["Outer"].Net), capture(notebook["build"]), capture("__main__:build")]
    assert [target for target, _ in found] == ["own_code:Outer.Net", "own_code:build", "own_code:build"]
    assert found[1] == found[2]
    assert all(said(build(spec(one), SHAPE, K)).shape == (1, K) for one in found)


def test_a_notebook_may_use_files_of_its_own(notebook: Notebook, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from torch import nn\nimport part\nTABLE = nn.Linear(3, 3)\nclass Head(nn.Linear): pass\n"
    write(here, {"mine": text, "part": ""})
    monkeypatch.syspath_prepend(here)
    notebook.run(
        "from mine import Head as H, TABLE as T\nimport mine\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.head, self.other = H(784, classes), mine.TABLE is T\n"
        "    def forward(self, x): return self.head(x.flatten(1))\n"
    )
    found = capture(notebook["Net"])
    inside = capture(sys.modules["mine"].Head)
    for name in ("mine", "part"):
        monkeypatch.delitem(sys.modules, name)
    assert inside == ("mine:Head", {"mine": text, "part": ""})
    assert list(found[1]) == ["mine", "own_code", "part"]
    assert found[1]["own_code"].startswith(
        "import mine\nfrom mine import Head as H\nfrom mine import TABLE as T\nfrom torch"
    )
    assert build(spec(found), SHAPE, K).body.other is True


def test_of_several_lambdas_on_a_line_the_one_that_was_given(notebook: Notebook) -> None:
    notebook.run(
        "nets = [lambda n=1: nn.Linear(n, 1), lambda n=2: nn.Linear(n, 1), lambda n=3: (lambda: nn.Linear(n, 1))()]"
    )
    found = [capture(net) for net in notebook["nets"]]
    assert [network(spec(one))().in_features for one in found] == [1, 2, 3] and found[0][0] == "own_code:network"


NETWORK = "class Net(nn.Module):\n    def forward(self, x): return x"
REFUSED = {
    "tensor": (f"mask = torch.zeros(3)\n{NETWORK} * mask", "Net uses mask, which is a Tensor; that cannot be written down"),
    "generator": ("f = torch.Generator()\ndef Net(classes): return f", "Net uses f, which is a Generator"),
    "module": ("layer = nn.Linear(3, 3)\ndef Net(classes): return layer", "Net uses layer, which is a Linear"),
    "in a list": (f"parts = [1, (torch.zeros(3),)]\n{NETWORK}, parts", "Net uses parts, which is a Tensor"),
    "circle": (f"parts = []; parts.append(parts)\n{NETWORK}, parts", "Net uses parts, which holds itself"),
    "closure": ("def outer(n):\n    def Net(k): return nn.Linear(n, k)\n    return Net\nNet = outer(3)", "Net uses n, a variable of"),
    "local": ("def outer():\n    class Net(nn.Module): pass\n    return Net\nNet = outer()", "Net is made inside of a function|cannot be had"),
    "patched": (f"{NETWORK}\nNet.more = lambda self, x: x", "Net.more was put into the class from outside"),
    "replaced": (f"{NETWORK}\ndef forward(self, x): return 1\nNet.forward = forward", "Net.forward was put into the class from outside"),
    "two of one name": ("class Base(nn.Module): pass\nclass Net(Base): pass\nclass Base(nn.Module): pass\nBase.__qualname__ = 'B.x'", "another by now"),
    "no network": ("Net = 3", "a network is a class, a function, a torch.nn.Module or a text like module:function; got 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_down_is_refused_by_name(case: str, notebook: Notebook) -> None:
    text, told = REFUSED[case]
    notebook.run(text)
    with pytest.raises(FittingroomError, match=told):
        capture(notebook["Net"])


def test_a_script_that_was_edited_while_it_runs_is_refused(notebook: Notebook, here: Path) -> None:
    script = here / "script.py"
    script.write_text(f"from torch import nn\n{NETWORK}\n")
    exec(compile(script.read_text(), str(script), "exec"), vars(notebook.main))
    assert capture(notebook["Net"])[0] == "own_code:Net"
    script.write_text(f"from torch import nn\n{NETWORK} + 1\n")
    with pytest.raises(FittingroomError, match="the text of Net cannot be had, it was changed since"):
        capture(notebook["Net"])


def test_in_a_real_notebook() -> None:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell.instance()
    shell.run_cell("from torch import nn\nWIDTH = 3").raise_error()
    shell.run_cell(
        "class Net(nn.Linear):\n    def forward(self, x): return super().forward(x.flatten(1)) * WIDTH"
    ).raise_error()
    _, sources = capture(shell.user_ns["Net"])
    assert "WIDTH = 3" in sources["own_code"]


# ---------------------------------------------------------------- instances

LAYERS = [
    lambda: nn.Conv2d(2, 2, 3, padding="same", bias=False),
    lambda: nn.Conv2d(2, 2, 3, padding=1, groups=2, padding_mode="reflect"),
    lambda: nn.ConvTranspose2d(2, 2, 2, stride=2),
    lambda: nn.BatchNorm2d(2, eps=0.1, affine=False),
    lambda: nn.InstanceNorm2d(2, affine=True),
    lambda: nn.GroupNorm(1, 2),
    lambda: nn.LayerNorm((2, 3), bias=False),
    lambda: nn.ReLU(inplace=True),
    lambda: nn.LeakyReLU(0.2),
    lambda: nn.GELU("tanh"),
    lambda: nn.PReLU(2),
    lambda: nn.Hardtanh(-2.0, 2.0),
    lambda: nn.Softmax(dim=1),
    lambda: nn.MaxPool2d(2, ceil_mode=True),
    lambda: nn.AvgPool2d(3, 1, count_include_pad=False),
    lambda: nn.AdaptiveAvgPool2d((None, 4)),
    lambda: nn.Dropout2d(0.3),
    lambda: nn.Upsample(scale_factor=2.0, mode="bilinear"),
    lambda: nn.ZeroPad2d((1, 0, 1, 0)),
    lambda: nn.Flatten(2),
    lambda: nn.Unflatten(1, (1, 2)),
    lambda: nn.Embedding(3, 4, padding_idx=1),
    lambda: nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True),
    lambda: nn.TransformerEncoderLayer(4, 2, 8, activation="gelu"),
    lambda: nn.LSTM(3, 4, 2),
]
STACKS = st.recursive(
    st.sampled_from(LAYERS).map(lambda make: make()),
    lambda inside: st.one_of(
        st.lists(inside, max_size=3).map(lambda parts: nn.Sequential(*parts)),
        st.lists(inside, max_size=3).map(lambda parts: nn.Sequential(OrderedDict((f"n{i}", p) for i, p in enumerate(parts)))),
        st.lists(inside, max_size=2).map(nn.ModuleList),
        st.dictionaries(st.sampled_from(["a", "b c", '"']), inside, max_size=2).map(nn.ModuleDict),
    ),
    max_leaves=6,
)  # fmt: skip


def same_tensors(a: nn.Module, b: nn.Module) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_a_layer_is_written_down_by_its_arguments(number: int) -> None:
    """Drawn by the same seed, it is the same layer."""
    function = network(spec(capture(LAYERS[number]())))
    torch.manual_seed(0)
    made = function()
    torch.manual_seed(0)
    original = LAYERS[number]()
    assert repr(made) == repr(original) and same_tensors(made, original)


@settings(max_examples=30)
@given(STACKS)
def test_an_untrained_network_is_written_down_layer_by_layer(original: nn.Module) -> None:
    made = network(spec(capture(original)))()
    assert repr(made) == repr(original)
    made.load_state_dict(original.state_dict())
    assert same_tensors(made, original)


def test_modules_of_ones_own_come_with_their_class_and_attributes(notebook: Notebook) -> None:
    notebook.run(
        "class Gate(nn.Module):\n"
        "    def __init__(self, how, **parts):\n"
        "        super().__init__()\n"
        "        self.how, self.act, self.scale = [how], F.relu, {'by': (2.0,)}\n"
        "        self.parts = nn.ModuleDict(parts)\n"
        "        self.nothing = None\n"
        "    def forward(self, x):\n"
        "        return self.act(self.parts[self.how[0]](x)) * self.scale['by'][0]\n"
        "class Mine(nn.Linear): pass\n"
        "net = nn.Sequential(nn.Flatten(), Gate('a', a=Mine(784, 5), b=nn.Identity()), nn.Linear(5, 10))\n"
    )
    found = capture(notebook["net"])
    model = build(spec(found), SHAPE, K)
    original = notebook["net"]
    original.load_state_dict(model.body.state_dict())
    assert torch.equal(said(model), said(original))
    assert not torch.equal(said(model), said(build(spec(found), SHAPE, K, seed=1)))  # each seed begins anew


def trained() -> nn.Module:
    norm = nn.BatchNorm1d(3)
    norm(torch.rand(4, 3))
    return norm


def hooked() -> nn.Module:
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda *given: None)
    return nn.Sequential(layer)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nn.Sequential(*[nn.Linear(3, 3)] * 2), r"has weights that two layers share \(0.weight\): give its class"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), r"has no shapes yet \(0.weight\)"),
        (lambda: nn.Linear(3, 3).requires_grad_(False), "is frozen, which is for model.freeze to say"),
        (trained, "was trained, and its weights would begin anew"),
        (hooked, r"has hooks \(0\)"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), "give its class or a function instead"),
        (lambda: nn.MultiheadAttention(4, 2, bias=False), "cannot be made again from its layers"),
    ],
)  # fmt: skip
def test_a_network_that_is_more_than_its_layers_is_refused(make: Any, told: str) -> None:
    with pytest.raises(FittingroomError, match=told):
        capture(make())


def test_a_tensor_of_ones_own_has_no_beginning(notebook: Notebook) -> None:
    notebook.run(
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.token = nn.Parameter(torch.ones(3))\n"
        "net = nn.Sequential(Net())\n"
    )
    with pytest.raises(FittingroomError, match=r"network.0.token is a tensor of Net's own making: give its class or"):
        capture(notebook["net"])


# ---------------------------------------------------------------- registered ones


def test_a_network_that_is_registered_in_a_cell_becomes_its_source(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODELS, "functions", dict(MODELS.functions))
    cell = (
        "from fittingroom.models import MODELS\n"
        "@MODELS.register\n"
        "def mynet(channels, size, classes, *, width=16, sizes=(1, 2), last=None):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, classes))\n"
    )
    notebook.run(cell)
    found = with_sources(ModelSpec(kind="mynet", args={"width": 3}), SHAPE, K)
    assert (found.kind, found.target, found.args) == ("python", "own_code:mynet", {"width": 3})
    notebook.run(cell.replace("16", "8"))
    assert MODELS["mynet"] is notebook["mynet"]  # no text that is executed takes its place
    found = with_sources(ModelSpec(kind="mynet"), SHAPE, K)
    assert found.args == {"width": 8} and build(found, SHAPE, K).body[1].out_features == 8
    assert with_sources(ModelSpec(kind="resnet20"), SHAPE, K) == ModelSpec(kind="resnet20")


def test_one_that_a_file_registers_is_its_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS, "functions", dict(MODELS.functions))
    text = PLAIN.replace("def build", "@MODELS.register\ndef filed").replace("hidden=8", "*, hidden=8")
    write(here, {"mymodels": f"from fittingroom.models import MODELS\n{text}"})
    monkeypatch.syspath_prepend(here)
    importlib.import_module("mymodels")
    monkeypatch.delitem(sys.modules, "mymodels")
    found = with_sources(ModelSpec(kind="filed"), SHAPE, K)
    assert (found.target, found.args) == ("mymodels:filed", {"hidden": 8}) and list(found.sources) == ["mymodels"]
