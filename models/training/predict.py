"""A network or an exported model looking at one picture, as the device prepares it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from boxes import candidates
from network import Deployed, DetectorNet
from pictures import Picture, letterbox
from tasks import TASKS

FLOOR = 0.03


class Checkpoint:
    def __init__(self, net: DetectorNet, width: int, height: int, device: str = "cpu"):
        self.deployed = Deployed(net, width, height).to(device).eval()
        self.width, self.height, self.device = width, height, device

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            return [part[0].cpu().numpy() for part in self.deployed(torch.from_numpy(image).to(self.device))]


class Exported:
    def __init__(self, path: Path, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        _, _, self.height, self.width = self.session.get_inputs()[0].shape

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        return [part[0] for part in self.session.run(None, {"images": image})]

    def millis(self, runs: int = 50) -> list[float]:
        """What each of some runs on noise takes, after a few that fill caches."""
        image, taken = np.random.default_rng(1).random((1, 3, self.height, self.width), dtype=np.float32), []
        for _ in range(runs + 10):
            began = time.perf_counter()
            self(image)
            taken.append((time.perf_counter() - began) * 1000)
        return taken[10:]


def load_average(state: dict) -> tuple[DetectorNet, int, int]:
    """The averaged network of a checkpoint, its width and height. Checkpoints before there were tasks are of the road."""
    net = DetectorNet(TASKS[state.get("task", "road")], state["channels"])
    net.load_state_dict(state["average"])
    return net, state["width"], state["height"]


def open_model(path: Path):
    if path.suffix == ".onnx":
        return Exported(path)
    net, width, height = load_average(torch.load(path, map_location="cpu", weights_only=True))
    return Checkpoint(net, width, height)


@dataclass
class Seen:
    """What the network says about one picture: detection rows in the picture's pixels before suppression, extent cells
    where the task has them."""

    rows: np.ndarray
    extent: np.ndarray | None


def network_input(pixels: np.ndarray, width: int, height: int) -> tuple[np.ndarray, float, float, float]:
    """BGR picture -> `images` [1, 3, H, W] RGB 0..1, and (ratio, left, top) of `letterbox`."""
    boxed, ratio, left, top = letterbox(pixels, width, height)
    image = np.ascontiguousarray(boxed[..., ::-1].transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)
    return image, ratio, left, top


def predict(model, pixels: np.ndarray, floor: float = FLOOR) -> Seen:
    image, ratio, left, top = network_input(pixels, model.width, model.height)
    output, *extent = model(image)
    rows = candidates(output, floor)
    rows[:, [0, 2]] = ((rows[:, [0, 2]] - left) / ratio).clip(0, pixels.shape[1])
    rows[:, [1, 3]] = ((rows[:, [1, 3]] - top) / ratio).clip(0, pixels.shape[0])
    return Seen(rows, extent[0] if extent else None)


def predict_pictures(net: DetectorNet, pictures: list[Picture], width: int, height: int, device: str) -> list[Seen]:
    model = Checkpoint(net, width, height, device)
    return [predict(model, picture.pixels) for picture in pictures]
