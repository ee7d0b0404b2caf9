"""Scores of a road checkpoint or an exported road model on held-out pictures, simulated pictures and drives.

    python evaluate.py --model ../road.onnx --data DIR [--simulated DIR] [--drive F.mp4 --drive-boxes F.csv]

The threshold is chosen on the held-out groups (best F1, cracks merged, IoU 0.3) unless `--threshold` is given. A drive is
only reported. Detections on pictures of the pothole-only segments are not counted as false when they are cracks.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch

from augment import MASK_STRIDE
from boxes import class_rows, class_truths, judge, suppress
from pictures import Picture
from predict import Seen, open_model, predict
from road_pictures import read_real, read_simulated
from tasks import ROAD

NMS_IOU = 0.4


def extent_cells(picture: Picture, width: int, height: int) -> np.ndarray:
    """The drawn mask as cells [H/8, W/8] of the network's input: does any damage touch the cell?"""
    rows, columns = picture.mask.shape
    ratio = min(width / columns, height / rows)
    inner = (round(columns * ratio), round(rows * ratio))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    boxed = np.zeros((height, width), np.uint8)
    # Shrunk with the largest value, so that a thin crack does not fall between the samples.
    ys, xs = np.nonzero(picture.mask)
    boxed[(ys * ratio).astype(int).clip(0, inner[1] - 1) + top, (xs * ratio).astype(int).clip(0, inner[0] - 1) + left] = 1
    return boxed.reshape(height // MASK_STRIDE, MASK_STRIDE, width // MASK_STRIDE, MASK_STRIDE).any((1, 3))


def extent_summary(seen: list[Seen], pictures: list[Picture], threshold: float | None = None) -> str:
    """F1 of damaged cells, crack and pothole together, and its 95 % range when whole road segments are drawn again."""
    counts: dict[str, np.ndarray] = {}
    levels = np.linspace(0.1, 0.9, 33) if threshold is None else np.array([threshold])
    for one, picture in zip(seen, pictures):
        if picture.mask is None or picture.believed[0] == 0:
            continue
        height, width = (side * MASK_STRIDE for side in one.extent.shape[1:])
        truth = extent_cells(picture, width, height)
        found = one.extent.max(0)[None] >= levels[:, None, None]
        hits = (found & truth).sum((1, 2))
        row = np.stack([hits, found.sum((1, 2)) - hits, truth.sum() - hits], 1)
        counts[picture.group] = counts.get(picture.group, 0) + row
    if not counts:
        return "  extent: no masks"
    groups = np.stack(list(counts.values())).astype(float)

    def f1(total: np.ndarray) -> np.ndarray:
        return 2 * total[..., 0] / np.maximum(2 * total[..., 0] + total[..., 1] + total[..., 2], 1)

    at = int(f1(groups.sum(0)).argmax())
    draws = np.random.default_rng(1).integers(0, len(groups), (2000, len(groups)))
    spread = np.quantile(f1(groups[draws, at].sum(1)), [0.025, 0.05, 0.975])
    total = groups[:, at].sum(0)
    return (
        f"  extent: cell F1 {f1(total):.3f} at {levels[at]:.3f}, P {total[0] / (total[0] + total[1]):.3f} "
        f"R {total[0] / (total[0] + total[2]):.3f}, 95 % {spread[0]:.3f}–{spread[2]:.3f}, one-sided {spread[1]:.3f}, "
        f"{len(groups)} segments: " + " ".join(f"{value:.2f}" for value in f1(groups[:, at]))
    )


def unbelieved(pictures: list[Picture]):
    """A detection of a group that the picture's source does not label completely is neither right nor wrong."""
    return lambda number, kind: pictures[number].believed[ROAD.group_of_class[kind]] < 1.0


def road_summary(name: str, raw: list[Seen], pictures: list[Picture], threshold: float | None = None) -> str:
    found = [suppress(seen.rows, NMS_IOU, ROAD.group_of_class) for seen in raw]
    lines = [f"== {name}: {len(pictures)} pictures"]
    for source in sorted({picture.source for picture in pictures}):
        index = [i for i, picture in enumerate(pictures) if picture.source == source]
        chosen = [pictures[i] for i in index]
        rows, truths, ignore = [found[i] for i in index], [p.boxes for p in chosen], unbelieved(chosen)
        for level in (0.3, 0.5):
            lines.append(f"  {source} merged IoU {level}: {judge(rows, truths, level, 'group', ROAD.group_of_class, threshold, ignore)}")
        for kind, name in enumerate(ROAD.classes):
            mine = class_rows(rows, kind), class_truths(truths, kind)
            one = judge(*mine, 0.5, "exact", ROAD.group_of_class, threshold, ignore)
            if one.truths:
                lines.append(f"  {source} {name} IoU 0.5: {one}")
    if any(picture.mask is not None for picture in pictures):
        lines.append(extent_summary(raw, pictures))
    return "\n".join(lines)


def read_drive(video: Path, boxes: Path) -> list[Picture]:
    truths = defaultdict(list)
    with open(boxes, newline="") as file:
        for row in csv.DictReader(file):
            place = [float(row[key]) for key in ("x0", "y0", "x1", "y1")]
            truths[int(row["still"])].append([ROAD.classes.index(row["class"]), *place, 1.0])
    pictures, capture = [], cv2.VideoCapture(str(video))
    while True:
        fine, pixels = capture.read()
        if not fine:
            return pictures
        number = len(pictures)
        boxes_here = np.array(truths.get(number, []), np.float32).reshape(-1, 6)
        pictures.append(Picture(f"still{number}", "drive", video.stem, pixels, boxes_here, (1.0, 1.0, 1.0)))


def best_threshold(raw: list[Seen], pictures: list[Picture], nms_iou: float, sources: set[str]) -> float:
    index = [i for i, picture in enumerate(pictures) if picture.source in sources]
    chosen = [pictures[i] for i in index]
    found = [suppress(raw[i].rows, nms_iou, ROAD.group_of_class) for i in index]
    return judge(found, [p.boxes for p in chosen], 0.3, "group", ROAD.group_of_class, None, unbelieved(chosen)).threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="road.onnx or a checkpoint")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--unseen", metavar="SOURCE", help="score on all pictures of a source that the model was not trained on")
    parser.add_argument("--simulated", type=Path, action="append", default=[])
    parser.add_argument("--drive", type=Path, action="append", default=[])
    parser.add_argument("--drive-boxes", type=Path, action="append", default=[])
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.unseen and options.threshold is None:
        parser.error("--unseen needs --threshold: one chosen on the unseen camera itself would flatter")
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    if options.unseen and options.model.suffix != ".onnx":
        known = torch.load(options.model, map_location="cpu", weights_only=True).get("unseen", options.unseen)
        if known != options.unseen:
            parser.error(f"{options.model} was trained with --unseen {known}")
    model, threshold = open_model(options.model), options.threshold
    if options.data:
        _, held_out = read_real(options.data, options.masks, options.unseen)
        raw = [predict(model, picture.pixels) for picture in held_out]
        print(road_summary("held-out groups, each score at its own best threshold", raw, held_out))
        if threshold is None:
            threshold = best_threshold(raw, held_out, NMS_IOU, {"dnit"})
            print(f"threshold from the held-out road segments: {threshold:.3f}")
        print(road_summary(f"held-out groups at {threshold:.3f}", raw, held_out, threshold))
    for folder in options.simulated:
        pictures = read_simulated(folder)
        raw = [predict(model, picture.pixels) for picture in pictures]
        print(road_summary(f"simulated {folder.name}", raw, pictures, threshold))
    for video, boxes in zip(options.drive, options.drive_boxes, strict=True):
        pictures = read_drive(video, boxes)
        found = [suppress(predict(model, picture.pixels).rows, NMS_IOU, ROAD.group_of_class) for picture in pictures]
        truths = [picture.boxes for picture in pictures]
        for match in ("any", "group", "exact"):
            for level in (0.3, 0.5):
                print(f"{video.stem} {match} IoU {level}: {judge(found, truths, level, match, ROAD.group_of_class, threshold)}")


if __name__ == "__main__":
    main()
