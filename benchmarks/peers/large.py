"""Photos as people fine-tune on them: PIL and a DataLoader with workers, a pretrained network, AdamW; plain, or by Lightning.

    python large.py script|lightning FOLDER WEIGHTS finetune|frozen EPOCHS

FOLDER holds class folders of photos; WEIGHTS are ours, so that all begin with the same network. The first FREEZE layers (or all
but the last) stay as they are, norms too, as in our recipes. Prints the last epoch's mean loss.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import torch
from common import quiet_trainer
from PIL import Image
from safetensors.numpy import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fittingroom.models import build
from fittingroom.spec.pretrained import pretrained
from fittingroom.spec.recipe import ModelSpec
from fittingroom.training.start import layers_of, start_from

SIDE, BATCH, LR, DECAY, FREEZE, WORKERS = 224, 32, 1e-3, 0.01, 33, 2
_, RIVAL, FOLDER, WEIGHTS, MODE, EPOCHS = sys.argv


class Photos(Dataset):
    """Class folders, one photo at a time: opened, resized, mirrored by chance, a tensor in 0 … 1."""

    def __init__(self, folder: Path) -> None:
        self.classes = sorted(p.name for p in folder.iterdir())
        self.files = [(file, k) for k, name in enumerate(self.classes) for file in sorted((folder / name).iterdir())]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        file, label = self.files[i]
        picture = Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(SIDE, SIDE, 3)
        x = pixels.permute(2, 0, 1).float() / 255
        return (x.flip(2) if MODE == "finetune" and torch.rand(()) < 0.5 else x), label


def network(classes: int) -> tuple[nn.Module, list[nn.Module]]:
    """The pretrained network with a new last layer, and the layers of it that stay as they are."""
    entry = pretrained()["efficientnet-lite0"]
    model = build(ModelSpec(kind=entry.kind, args=entry.args), (3, SIDE, SIDE), classes)
    start_from(model, load_file(WEIGHTS), keep_head=False)
    layers = layers_of(model)
    still = [m for layer in layers[: FREEZE if MODE == "finetune" else len(layers) - 1] for m in layer]
    for module in still:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad = False
    return model, still


def in_training(model: nn.Module) -> None:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


data = Photos(Path(FOLDER))
model, _still = network(len(data.classes))
loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
criterion, trained = nn.CrossEntropyLoss(label_smoothing=0.1), [p for p in model.parameters() if p.requires_grad]


def script() -> float:
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=DECAY)
    for _ in range(int(EPOCHS)):
        in_training(model)
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
    return total / len(data)


def lightning() -> float:
    import lightning as L

    class Net(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.total = model, 0.0

        def on_train_epoch_start(self) -> None:
            in_training(self.model)
            self.total = 0.0

        def training_step(self, batch: list[torch.Tensor], step: int) -> torch.Tensor:
            loss = criterion(self.model(batch[0]), batch[1])
            self.total += float(loss.detach()) * len(batch[0])
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(trained, lr=LR, weight_decay=DECAY)

    net = Net()
    quiet_trainer(max_epochs=int(EPOCHS), accelerator="cpu").fit(net, loader)
    return net.total / len(data)


warnings.filterwarnings("ignore")
print(json.dumps({"loss": {"script": script, "lightning": lightning}[RIVAL]()}))
