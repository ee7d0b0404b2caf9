"""Put the weights of an exported model back into a network that can be trained on.

The export folds every normalisation into its convolution: y = w * x + b. Here w goes back into the convolution, the
normalisation measures its mean and variance on real pictures, and its scale and shift are set so that it changes
nothing: the network answers as the exported model does, and every layer can learn again. This is how a town goes on
from the published file with its own pictures, without any other state.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from network import DetectorNet, SharedConv


def convolutions(path: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Module path -> (weight, bias) of every convolution, by the names that the export gives its nodes."""
    graph = onnx.load(path).graph
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        # /backbone/stage2/stage2.0/branch_main/branch_main.0/Conv -> backbone.stage2.0.branch_main.0;
        # the second call of one module is /head/score_tower/conv_1/Conv.
        parts: list[str] = []
        call = 0
        for part in node.name.split("/")[1:-1]:
            again = re.fullmatch(r"(.*[a-z])_(\d+)", part)
            if again:
                part, call = again[1], int(again[2])
            if parts and part.startswith(f"{parts[-1]}."):
                parts[-1] = part
            elif part != "net":
                parts.append(part)
        name = ".".join(parts)
        weight = values[node.input[1]]
        bias = values[node.input[2]] if len(node.input) > 2 else np.zeros(weight.shape[0], np.float32)
        found[f"{name}#{call}"] = (weight, bias)
    return found


def pairs(net: DetectorNet) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """Every convolution with the normalisation behind it, as `name#call`."""
    result = []
    for name, module in net.named_modules():
        if isinstance(module, SharedConv):
            result += [(f"{name}.conv#{k}", module.conv, norm) for k, norm in enumerate(module.norms)]
        elif isinstance(module, nn.Sequential):
            children = list(module.children())
            for index, child in enumerate(children):
                if isinstance(child, nn.Conv2d):
                    result.append((f"{name}.{index}#0", child, children[index + 1]))
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            result.append((f"{name}#0", module, None))
    return result


def load_onnx(net: DetectorNet, path: str, pictures: torch.Tensor) -> list[str]:
    """Loads `path` into `net`; `pictures` [B, 3, H, W] are what the statistics are measured on. Returns what the file
    lacks, which then keeps its random start."""
    stored, missing = convolutions(path), []
    todo: dict[nn.BatchNorm2d, np.ndarray] = {}
    with torch.no_grad():
        for name, convolution, norm in pairs(net):
            if name not in stored:
                missing.append(name)
                continue
            weight, bias = stored[name]
            if tuple(weight.shape) != tuple(convolution.weight.shape):
                raise SystemExit(f"{path}: {name} has shape {weight.shape}, this network needs {tuple(convolution.weight.shape)}")
            if norm is None:
                convolution.weight.copy_(torch.from_numpy(weight.copy()))
                convolution.bias.copy_(torch.from_numpy(bias.copy()))
            elif name.endswith("#0"):
                convolution.weight.copy_(torch.from_numpy(weight.copy()))
                todo[norm] = (np.ones_like(bias), bias)
            else:
                # One convolution, several normalisations: each scaled the same weights by its own factor per channel.
                own = convolution.weight.numpy().reshape(len(bias), -1)
                there = weight.reshape(len(bias), -1)
                todo[norm] = ((own * there).sum(1) / np.maximum((own * own).sum(1), 1e-12), bias)

    def measure(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...]) -> None:
        if norm not in todo:
            return
        factor, bias = (torch.from_numpy(np.asarray(part, np.float32).copy()) for part in todo[norm])
        mean = inputs[0].mean((0, 2, 3))
        variance = inputs[0].var((0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(factor * (variance + norm.eps).sqrt())
        norm.bias.copy_(bias + factor * mean)

    hooks = [norm.register_forward_pre_hook(measure) for norm in todo]
    was_training = net.training
    net.eval()
    with torch.no_grad():
        net(pictures)
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return missing
