"""The READMEs' script again, until its test accuracy first touches a target: three blocks with BatchNorm and dropout, Adam.

    python until_script.py DATA.npz TARGET EPOCHS

The test set is scored after every epoch, which costs it nothing: that time is not counted.
"""

from __future__ import annotations

import time

import torch
from common import read_arrays, tell_until
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

data, target, epochs = read_arrays()


class Pictures(Dataset):
    """Like torchvision's: a PIL image an item, to a tensor, normalised."""

    def __len__(self) -> int:
        return len(data["train_images"])

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(data["train_images"][i], mode="L")
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(1, *picture.size[::-1])
        return pixels.float().div(255).sub(0.5).div(0.5), int(data["train_labels"][i])


torch.manual_seed(0)
layers: list[nn.Module] = []
for before, after in ((1, 32), (32, 64), (64, 128)):
    layers += [
        nn.Conv2d(before, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
    ]
model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 9, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=1e-3)
test_images = torch.from_numpy(data["test_images"])[:, None].float().div(255).sub(0.5).div(0.5)
test_labels = torch.from_numpy(data["test_labels"])
train_s, score_s, accuracies = 0.0, 0.0, []
for _ in range(epochs):
    began = time.perf_counter()
    model.train()
    for images, labels in DataLoader(Pictures(), batch_size=64, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
    seconds = time.perf_counter() - began
    train_s += seconds
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in test_images.split(500)])
    accuracies.append((found == test_labels).float().mean().item())
    score_s += time.perf_counter() - began - seconds
    if accuracies[-1] >= target:
        break
tell_until(target, accuracies, train_s, score_s)
