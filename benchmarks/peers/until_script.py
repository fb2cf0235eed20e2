"""The READMEs' script again, until its test accuracy first touches a target: three blocks with BatchNorm and dropout, Adam.

    python until_script.py DATA.npz TARGET EPOCHS

The test set is scored after every epoch, which costs it nothing: that time is not counted.
"""

from __future__ import annotations

import time

import torch
from common import network, read_arrays, tell_until
from pictures import Pictures
from torch import nn
from torch.utils.data import DataLoader

data, target, epochs = read_arrays()
torch.manual_seed(0)
model = network("cnn2")
criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=1e-3)
test_images = torch.from_numpy(data["test_images"])[:, None].float().div(255).sub(0.5).div(0.5)
test_labels = torch.from_numpy(data["test_labels"])
train_s, score_s, accuracies = 0.0, 0.0, []
for _ in range(epochs):
    began = time.perf_counter()
    model.train()
    for images, labels in DataLoader(
        Pictures(data["train_images"], data["train_labels"], 0.5, 0.5), batch_size=64, shuffle=True
    ):
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
