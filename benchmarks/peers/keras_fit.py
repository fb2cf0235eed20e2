"""Keras 3 on the backend that KERAS_BACKEND names: `compile` and `fit` on the arrays."""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
from common import read_task, tell
from keras import layers

task = read_task()
keras.mixed_precision.set_global_policy("mixed_bfloat16" if task.precision == "bf16" else "float32")


def network() -> keras.Model:
    if task.model == "cnn1":
        stack = [
            layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Flatten(), layers.Dense(128, activation="relu"),
        ]  # fmt: skip
    else:
        stack = []
        for channels in (32, 64, 128):
            stack += [
                layers.Conv2D(channels, 3, padding="same"), layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
                layers.Activation("relu"), layers.MaxPooling2D(), layers.Dropout(0.25),
            ]  # fmt: skip
        stack += [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((28, 28, 1)), *stack, layers.Dense(10, dtype="float32")])


def set_weights(model: keras.Model) -> None:
    """torch's weights in Keras' layout: kernels (height, width, in, out), and the dense layer after a flatten of (H, W, C)."""
    given = iter(task.weights.items())
    channels = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            kernel, bias = next(given)[1], next(given)[1]
            channels = len(kernel)
            layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])
        elif isinstance(layer, layers.BatchNormalization):
            layer.set_weights([next(given)[1] for _ in range(4)])
            next(given)  # how many batches torch has counted
        elif isinstance(layer, layers.Dense):
            kernel, bias = next(given)[1], next(given)[1]
            if channels:  # the first one
                side = round((kernel.shape[1] / channels) ** 0.5)
                kernel = (
                    kernel.reshape(len(kernel), channels, side, side).transpose(0, 2, 3, 1).reshape(len(kernel), -1)
                )
                channels = 0
            layer.set_weights([kernel.T, bias])


model = network()
set_weights(model)
model.compile(
    keras.optimizers.Adam(task.lr, epsilon=1e-8), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
)
x, y = task.standardised()[..., None], task.labels_N.astype(np.int32)
told = {"batch_size": task.batch, "shuffle": False, "verbose": 0}
warm = model.fit(x[: task.split], y[: task.split], **told).history["loss"][0]
started = time.perf_counter()
timed = model.fit(x[task.split :], y[task.split :], **told).history["loss"][0]
tell(task, warm, timed, time.perf_counter() - started)
