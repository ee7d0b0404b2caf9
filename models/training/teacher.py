"""A teacher says where persons and vehicles are: in road pictures, which become background for the privacy task, and in the
privacy set, where people labelled other classes only.

    python teacher.py --teacher picodet_s_416_coco.onnx --road ROAD --count 300 --out ROADS
    python teacher.py --teacher picodet_s_416_coco.onnx --privacy PRIVACY --out TAUGHT

The first takes survey pictures (source `dnit`) that the road model may train on, evenly over the set, and writes a set in the
form that privacy_pictures.py reads. The second writes label files for `train.py --taught`: the set's own `labels_pseudo` know
only what the teacher was fairly sure of, so a person of whom it was half sure is taught as background; these files name the
doubtful ones too, and keep the set's faces. The teacher looks at each picture and at its mirror image. It is PicoDet-S with
COCO weights (PaddleDetection, Apache-2.0); only its boxes are used. Boxes it is not sure of are written too: they become
neither right nor wrong.
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
from pictures import manifest_rows
from road_pictures import held_out, listed_groups
from tasks import PRIVACY

SIDE = 416
STRIDES = (8, 16, 32, 64)
BINS = 8
FLOOR, NMS_IOU = 0.2, 0.6
PERSON, VEHICLE = PRIVACY.classes.index("person"), PRIVACY.classes.index("vehicle")
OURS_OF_COCO = {0: PERSON, 2: VEHICLE, 3: VEHICLE, 5: VEHICLE, 7: VEHICLE}
MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def open_teacher(path: Path) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def pixels_of(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise SystemExit(f"{path}: not a picture that can be read")
    return pixels


def look_twice(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> np.ndarray:
    """As `look`, and what it finds in the mirror image brought back."""
    mirrored = look(session, pixels[:, ::-1])
    mirrored[:, [0, 2]] = 1 - mirrored[:, [2, 0]]
    found = np.concatenate([look(session, pixels), mirrored])
    return suppress(found[np.argsort(-found[:, 5])], NMS_IOU, PRIVACY.group_of_class)


def lines(found: np.ndarray) -> str:
    """Label lines: class cx cy w h score."""
    return "".join(
        f"{int(kind)} {(x0 + x1) / 2:.5f} {(y0 + y1) / 2:.5f} {x1 - x0:.5f} {y1 - y0:.5f} {score:.3f}\n"
        for x0, y0, x1, y1, kind, score in found
    )


def look(session: onnxruntime.InferenceSession, pixels: np.ndarray, floor: float = FLOOR) -> np.ndarray:
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
            kept = scores[0, :, theirs] >= floor
            kinds = np.full((int(kept.sum()), 1), ours)
            rows.append(np.concatenate([boxes[kept].clip(0, 1), kinds, scores[0, kept, theirs][:, None]], 1))
    found = np.concatenate(rows)
    return suppress(found[np.argsort(-found[:, 5])], NMS_IOU, PRIVACY.group_of_class)


def write_roads(session: onnxruntime.InferenceSession, road: Path, count: int, out: Path) -> None:
    listed = listed_groups()
    rows = [row for row in manifest_rows(road) if row["source"] == "dnit" and not held_out(row["group"], listed)]
    chosen = rows[:: max(1, len(rows) // count)][:count]
    for folder in ("images", "labels", "labels_pseudo"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    (out / "classes.txt").write_text("\n".join(PRIVACY.classes) + "\n")
    with open(out / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "source", "human_labelled_classes", "group"])
        for row in chosen:
            source = road / "images" / row["file"]
            found = look_twice(session, pixels_of(source))
            (out / "labels_pseudo" / f"{source.stem}.txt").write_text(lines(found))
            shutil.copyfile(source, out / "images" / row["file"])
            writer.writerow([row["file"], row["source"], "", row["group"]])


def write_taught(session: onnxruntime.InferenceSession, privacy: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    names = (privacy / "classes.txt").read_text().split()
    if tuple(names) != PRIVACY.classes:
        raise SystemExit(f"{privacy / 'classes.txt'}: expected {' '.join(PRIVACY.classes)}, found {' '.join(names)}")
    face = str(PRIVACY.classes.index("face"))
    for source in sorted((privacy / "images").iterdir()):
        own = privacy / "labels_pseudo" / f"{source.stem}.txt"
        faces = [line for line in own.read_text().splitlines() if line.split()[:1] == [face]] if own.exists() else []
        found = lines(look_twice(session, pixels_of(source)))
        (out / f"{source.stem}.txt").write_text(found + "".join(f"{line}\n" for line in faces))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--road", type=Path, help="the road set: write some of it as background")
    which.add_argument("--privacy", type=Path, help="the privacy set: write the teacher's labels of it")
    parser.add_argument("--count", type=int, default=300, help="road pictures to take")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    session = open_teacher(options.teacher)
    if options.road:
        write_roads(session, options.road, options.count, options.out)
    else:
        write_taught(session, options.privacy, options.out)


if __name__ == "__main__":
    main()
