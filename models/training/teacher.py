"""Road pictures as background for the privacy task: a teacher says where persons and vehicles are.

    python teacher.py --teacher picodet_s_416_coco.onnx --road ROAD --count 300 --out ROADS

Takes survey pictures (source `dnit`) that the road model may train on, evenly over the set, and writes a set in the form
that privacy_pictures.py reads. The teacher is PicoDet-S with COCO weights (PaddleDetection, Apache-2.0); only its boxes are
used. Boxes it is not sure of are written too: they become neither right nor wrong.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from boxes import suppress
from road_pictures import held_out, listed_groups
from tasks import PRIVACY

SIDE = 416
STRIDES = (8, 16, 32, 64)
BINS = 8
FLOOR, NMS_IOU = 0.3, 0.6
PERSON, VEHICLE = PRIVACY.classes.index("person"), PRIVACY.classes.index("vehicle")
OURS_OF_COCO = {0: PERSON, 2: VEHICLE, 3: VEHICLE, 5: VEHICLE, 7: VEHICLE}
MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def look(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> np.ndarray:
    """BGR picture -> detection rows (x0, y0, x1, y1 as shares of the picture, our class, score)."""
    image = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., ::-1]
    image = ((image - MEAN) / DEVIATION).transpose(2, 0, 1)[None].astype(np.float32)
    outputs = session.run(None, {session.get_inputs()[0].name: image})
    rows = []
    for stride, scores, sides in zip(STRIDES, outputs[:4], outputs[4:]):
        across = -(-SIDE // stride)
        ys, xs = np.divmod(np.arange(across * across), across)
        centres = (np.stack([xs, ys], 1) + 0.5) * stride
        shares = np.exp(sides[0].reshape(-1, 4, BINS))
        reach = (shares / shares.sum(2, keepdims=True) * np.arange(BINS)).sum(2) * stride
        boxes = np.concatenate([centres - reach[:, :2], centres + reach[:, 2:]], 1) / SIDE
        for theirs, ours in OURS_OF_COCO.items():
            kept = scores[0, :, theirs] >= FLOOR
            kinds = np.full((int(kept.sum()), 1), ours)
            rows.append(np.concatenate([boxes[kept].clip(0, 1), kinds, scores[0, kept, theirs][:, None]], 1))
    found = np.concatenate(rows)
    return suppress(found[np.argsort(-found[:, 5])], NMS_IOU, PRIVACY.group_of_class)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--road", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(options.teacher), settings, providers=["CPUExecutionProvider"])
    listed = listed_groups()
    with open(options.road / "manifest.csv", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    rows = [row for row in rows if row["source"] == "dnit" and not held_out(row["group"], listed)]
    chosen = rows[:: max(1, len(rows) // options.count)][: options.count]
    for folder in ("images", "labels", "labels_pseudo"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    (options.out / "classes.txt").write_text("\n".join(PRIVACY.classes) + "\n")
    with open(options.out / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "source", "human_labelled_classes", "group"])
        for row in chosen:
            source = options.road / "images" / row["file"]
            found = look(session, cv2.imread(str(source)))
            lines = [
                f"{int(kind)} {(x0 + x1) / 2:.5f} {(y0 + y1) / 2:.5f} {x1 - x0:.5f} {y1 - y0:.5f} {score:.3f}\n"
                for x0, y0, x1, y1, kind, score in found
            ]
            (options.out / "labels_pseudo" / f"{source.stem}.txt").write_text("".join(lines))
            shutil.copyfile(source, options.out / "images" / row["file"])
            writer.writerow([row["file"], row["source"], "", row["group"]])


if __name__ == "__main__":
    main()
