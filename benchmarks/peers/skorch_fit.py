"""skorch: a scikit-learn estimator around the same torch model; `partial_fit` on the arrays."""

from __future__ import annotations

import time

import torch
from common import read_task, tell, torch_model
from skorch import NeuralNetClassifier
from torch import nn

task = read_task()
x, y = task.standardised()[:, None], task.labels_N


class Autocast(nn.Module):
    """skorch has no mixed precision of its own: the usual wrapper."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=task.precision == "bf16"):
            return self.model(images).float()


net = NeuralNetClassifier(
    Autocast(torch_model(task)), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=task.lr, max_epochs=1,
    batch_size=task.batch, train_split=None, iterator_train__shuffle=False, iterator_train__drop_last=True, verbose=0,
)  # fmt: skip
net.partial_fit(x[: task.split], y[: task.split])
started = time.perf_counter()
net.partial_fit(x[task.split :], y[task.split :])
seconds = time.perf_counter() - started
warm, timed = net.history[:, "train_loss"]
tell(task, warm, timed, seconds)
