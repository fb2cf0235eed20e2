"""Many seeds as a person trains them elsewhere: one process, a loop over seeds, each trained from scratch and scored on test.

    python loop.py script|lightning|skorch ARRAYS.npz cnn1|mlp SEEDS EPOCHS

Prints the test accuracies. Defaults all along: float32, batches of 64, Adam with 1e-3, shuffled anew by each seed.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable

import numpy as np
import torch
from common import network, quiet_trainer
from pictures import Pictures
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH, LR = 64, 1e-3
_, RIVAL, PATH, MODEL, SEEDS, EPOCHS = sys.argv
with np.load(PATH) as file:
    images_NHW, labels_N, test_NHW, test_labels_N = (file[name] for name in ("x", "y", "test_x", "test_y"))
MEAN, SD = float(images_NHW.mean() / 255), float(images_NHW.std() / 255)


def standardised(x_NHW: np.ndarray) -> np.ndarray:
    return ((x_NHW / np.float32(255) - np.float32(MEAN)) / np.float32(SD)).astype(np.float32)[:, None]


def accuracy(model: nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        said = torch.cat([model(part).argmax(1) for part in torch.from_numpy(standardised(test_NHW)).split(1000)])
    return float((said.numpy() == test_labels_N).mean())


def script(model: nn.Module) -> float:
    data = DataLoader(Pictures(images_NHW, labels_N, MEAN, SD), batch_size=BATCH, shuffle=True)
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=LR), nn.CrossEntropyLoss()
    for _ in range(int(EPOCHS)):
        model.train()
        total = 0.0
        for x, y in data:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
    return accuracy(model)


def lightning(model: nn.Module) -> float:
    import lightning as L

    class Net(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.criterion = model, nn.CrossEntropyLoss()

        def training_step(self, batch: list[torch.Tensor], step: int) -> torch.Tensor:
            return self.criterion(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LR)

    data = TensorDataset(torch.from_numpy(standardised(images_NHW)), torch.from_numpy(labels_N))
    quiet_trainer(max_epochs=int(EPOCHS), accelerator="cpu").fit(
        Net(), DataLoader(data, batch_size=BATCH, shuffle=True)
    )
    return accuracy(model)


def skorch(model: nn.Module) -> float:
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(
        model, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=LR, max_epochs=int(EPOCHS), batch_size=BATCH,
        train_split=None, iterator_train__shuffle=True, verbose=0,
    )  # fmt: skip
    net.fit(standardised(images_NHW), labels_N)
    return accuracy(net.module_)


warnings.filterwarnings("ignore")
train: Callable[[nn.Module], float] = {"script": script, "lightning": lightning, "skorch": skorch}[RIVAL]
accuracies = []
for seed in range(int(SEEDS)):
    torch.manual_seed(seed)
    accuracies.append(train(network(MODEL)))
print(json.dumps({"accuracies": accuracies}))
