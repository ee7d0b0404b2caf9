"""Write a checkpoint's averaged weights as ONNX, check it, and bring the manifest's hash up to date.

    python export.py --checkpoint OUT/last.pt --model ../road.onnx [--manifest ../manifest.toml --threshold 0.3]
    python export.py --checkpoint ../road.onnx --task road --width 512 --height 288 --model smaller.onnx

No part of the network has a size that depends on the picture's, so the second writes a published model for another input.

The graph is static (batch 1), opset 17, without suppression, and uses only operators that both ONNX Runtime and tract
run: convolution (normalisation folded in), max pooling, nearest resize, slice, concatenation, softmax and elementwise
arithmetic. The written file is compared with the network it came from.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from network import Deployed, DetectorNet, output_names
from predict import Exported, load_average
from tasks import TASKS
from warm_start import load_onnx

LARGEST_DIFFERENCE_PX = 2e-2
LARGEST_DIFFERENCE_SCORE = 1e-4


def fold_constants(target: Path) -> None:
    """Shapes are static, so everything computed from them becomes a constant; only standard operators remain."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
    model = onnx.load(target)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    foreign = used - {""}
    if foreign:
        raise SystemExit(f"{target}: operators outside the ONNX standard: {foreign}")
    onnx.save(model, target)


def write_onnx(net: DetectorNet, target: Path, width: int, height: int) -> Deployed:
    deployed = Deployed(net, width, height).eval()
    torch.onnx.export(
        deployed,
        (torch.zeros(1, 3, height, width),),
        str(target),
        input_names=["images"],
        output_names=output_names(net.task),
        opset_version=17,
        dynamo=False,
    )
    fold_constants(target)
    return deployed


def compare_with(path: Path, deployed: Deployed) -> tuple[Exported, float]:
    """Refuses a file that does not answer as the network does; the file, opened, and the largest difference."""
    model = Exported(path)
    images = torch.rand(1, 3, model.height, model.width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = [part[0].numpy() for part in deployed(images)]
    apart, *extent_apart = (np.abs(a - b) for a, b in zip(model(images.numpy()), expected, strict=True))
    scores_apart = max([apart[4:].max(), *(part.max() for part in extent_apart)])
    if apart[:4].max() > LARGEST_DIFFERENCE_PX or scores_apart > LARGEST_DIFFERENCE_SCORE:
        raise SystemExit(f"{path}: differs from the network by {apart[:4].max()} px, score {scores_apart}")
    return model, float(apart.max())


def opened(checkpoint: Path, task: str | None) -> tuple[DetectorNet, int, int, str]:
    """The network of a checkpoint or of an exported model, its width and height, and where it comes from."""
    if checkpoint.suffix != ".onnx":
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return *load_average(state), f"epoch {state['epoch']}"
    if task is None:
        raise SystemExit(f"{checkpoint}: an exported model needs --task")
    shape = onnx.load(checkpoint).graph.input[0].type.tensor_type.shape.dim
    height, width = shape[2].dim_value, shape[3].dim_value
    net = DetectorNet(TASKS[task])
    # Whatever statistics the normalisations measure, their scale and shift undo them, and the export folds them in again.
    missing = load_onnx(net, str(checkpoint), torch.rand(4, 3, height, width, generator=torch.Generator().manual_seed(0)))
    if missing:
        raise SystemExit(f"{checkpoint}: not a {task} model of this network, it lacks {', '.join(missing)}")
    compare_with(checkpoint, Deployed(net.eval(), width, height).eval())
    return net, width, height, f"from sha256 {hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]}"


def export(checkpoint: Path, target: Path, width: int | None, height: int | None, task: str | None) -> tuple[int, int]:
    net, seen_width, seen_height, origin = opened(checkpoint, task)
    width, height = width or seen_width, height or seen_height
    deployed = write_onnx(net, target, width, height)
    model = onnx.load(target)
    model.doc_string = f"Umsicht {net.task.name} detector, {origin}"
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)
    written, apart = compare_with(target, deployed)
    millis = written.millis()
    print(f"{target}: {target.stat().st_size} bytes, {sorted({node.op_type for node in model.graph.node})}")
    print(f"one thread: median {np.median(millis):.1f} ms, least {min(millis):.1f} ms; differs by {apart:.1e}")
    return width, height


def update_manifest(manifest: Path, target: Path, size: tuple[int, int], threshold: float | None) -> None:
    """Replace sha256 and the input's size (and score_threshold) inside the entry whose file is `target`."""
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    entries = re.split(r"(?m)^(?=\[\[model\]\])", manifest.read_text())
    for number, entry in enumerate(entries):
        if f'file = "{target.name}"' in entry:
            entry = re.sub(r'(?m)^sha256 = ".*"', f'sha256 = "{digest}"', entry)
            for side, pixels in zip(("width", "height"), size, strict=True):
                entry = re.sub(rf"(?m)^{side} = \d+", f"{side} = {pixels}", entry)
            if threshold is not None:
                entry = re.sub(r"(?m)^score_threshold = \S+", f"score_threshold = {threshold}", entry)
            entries[number] = entry
            break
    else:
        raise SystemExit(f'{manifest}: no [[model]] with file = "{target.name}"; add one first')
    manifest.write_text("".join(entries))
    print(f"{manifest}: sha256 {digest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of train.py, or an exported model")
    parser.add_argument("--task", choices=sorted(TASKS), help="of an exported model")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--width", type=int, help="of the input, a multiple of 32; else as it was trained last")
    parser.add_argument("--height", type=int, help="likewise")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--threshold", type=float)
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = export(options.checkpoint, options.model, options.width, options.height, options.task)
    if options.manifest:
        update_manifest(options.manifest, options.model, size, options.threshold)


if __name__ == "__main__":
    main()
