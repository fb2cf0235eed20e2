"""Keras' own MNIST example ("Simple MNIST convnet", keras.io) until its test accuracy first touches a target.

    KERAS_BACKEND=jax python until_keras.py DATA.npz TARGET EPOCHS

Layers, batch size and optimizer are the example's; the test set is scored after every epoch, and that time not counted.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
from common import read_arrays, tell_until
from keras import layers

data, target, epochs = read_arrays()
keras.utils.set_random_seed(0)
x_train, x_test = (data[f"{part}_images"].astype("float32")[..., None] / 255 for part in ("train", "test"))
y_train, y_test = (keras.utils.to_categorical(data[f"{part}_labels"], 10) for part in ("train", "test"))
model = keras.Sequential([
    keras.Input((28, 28, 1)),
    layers.Conv2D(32, (3, 3), activation="relu"), layers.MaxPooling2D((2, 2)),
    layers.Conv2D(64, (3, 3), activation="relu"), layers.MaxPooling2D((2, 2)),
    layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax"),
])  # fmt: skip
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
train_s, score_s, accuracies = 0.0, 0.0, []
for _ in range(epochs):
    began = time.perf_counter()
    model.fit(x_train, y_train, batch_size=128, epochs=1, verbose=0)  # all of it: its validation_split would only cost
    seconds = time.perf_counter() - began
    train_s += seconds
    accuracies.append(float(model.evaluate(x_test, y_test, verbose=0)[1]))
    score_s += time.perf_counter() - began - seconds
    if accuracies[-1] >= target:
        break
tell_until(target, accuracies, train_s, score_s)
