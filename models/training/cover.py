"""The privacy model's score: how much of what must not be seen lies under the masks, and how much else does.

    python cover.py --model ../privacy.onnx --data PRIVACY --manifest ../manifest.toml      scores as shipped
    python cover.py --model ../privacy.onnx --data PRIVACY --choose                         thresholds and dilations

A labelled region is covered when at least 90 % of its area lies under the union of all masks, of whatever class: a face
under the mask of its person is as hidden as under its own. A mask is a detection's box, grown on each side by a share of
its width and height. `masked elsewhere` is the masked share of the pixels outside every labelled or teacher's box, each
grown by a tenth of its size on every side (20 % in all). The bound is the exact one-sided 95 % one of a binomial share.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from boxes import suppress
from evaluate import read_drive
from pictures import Picture
from predict import Seen, open_model, predict
from privacy_pictures import VIDEO, read_privacy, still_of
from tasks import PRIVACY
from teacher import look, open_teacher

NMS_IOU = 0.65
FLOOR = 0.1
COVERED = 0.9
GROWN = 0.1
RASTER = 2  # masks are drawn on every second pixel
# Smaller regions are not judged: shorter side in pixels of the kept picture, for plates the width.
SMALLEST_PX = {"face": 16, "licence_plate": 20, "person": 32, "vehicle": 32}
# What the choice of rules is made from, how much may be masked elsewhere (the aim is 0.1; no rules of ours cover enough within
# it, and a mask too few shows somebody), and the bound beyond which a class needs no more.
THRESHOLDS = tuple(round(0.1 + 0.03 * step, 2) for step in range(21))
DILATIONS = (0.05, 0.12)
ELSEWHERE_LIMIT = 0.45
BOUND_WANTED = 0.91
# Prices of a masked pixel elsewhere against a missing share of a class's bound, from dear to cheap.
PRICES = (3.0, 1.6, 0.9)


@dataclass(frozen=True)
class Rule:
    """What of one class is masked: detections of at least `threshold`, grown by `dilation` of their size on each side."""

    threshold: float
    dilation: float


Rules = tuple[Rule, ...]  # in the order of the task's classes
NOTHING = Rule(2.0, 0.0)
CHOICES = tuple(Rule(threshold, dilation) for dilation in DILATIONS for threshold in THRESHOLDS)
SAMPLE: Rules = tuple(Rule(0.36, 0.1) for _ in PRIVACY.classes)  # to compare checkpoints by


def masks(rows: np.ndarray, rules: Rules) -> np.ndarray:
    """Suppressed detection rows -> rectangles [M, 4] in the picture's pixels; they may reach beyond the picture."""
    kinds = rows[:, 4].astype(int)
    kept = rows[:, 5] >= np.array([rule.threshold for rule in rules])[kinds]
    rows, kinds = rows[kept], kinds[kept]
    return grown(rows[:, :4], np.array([rule.dilation for rule in rules])[kinds])


def grown(boxes: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    reach = (boxes[:, 2:4] - boxes[:, :2]) * np.reshape(share, (-1, 1))
    return np.concatenate([boxes[:, :2] - reach, boxes[:, 2:4] + reach], 1)


def painted(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Union of the boxes on a raster [height / RASTER, width / RASTER]; a cell counts when its centre lies inside."""
    raster = np.zeros((math.ceil(height / RASTER), math.ceil(width / RASTER)), bool)
    for x0, y0, x1, y1 in np.ceil(boxes / RASTER - 0.5).astype(int).clip(0):
        raster[y0:y1, x0:x1] = True
    return raster


@dataclass
class Tally:
    covered: dict[str, int]
    regions: dict[str, int]
    missed: list[tuple[str, str, np.ndarray]]  # picture, class, box
    elsewhere: float

    def bound(self, name: str) -> float:
        return lower_bound(self.covered[name], self.regions[name])


def lower_bound(successes: int, trials: int, doubt: float = 0.05) -> float:
    """Clopper and Pearson: the share at which this many successes or more would be seen with probability `doubt`."""
    if successes == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        tail = sum(
            math.exp(
                math.lgamma(trials + 1)
                - math.lgamma(k + 1)
                - math.lgamma(trials - k + 1)
                + k * math.log(share)
                + (trials - k) * math.log1p(-share)
            )
            for k in range(successes, trials + 1)
        )
        low, high = (share, high) if tail < doubt else (low, share)
    return low


def judged(picture: Picture) -> list[tuple[str, np.ndarray]]:
    """Regions drawn by people and large enough."""
    result = []
    for kind, x0, y0, x1, y1, trust in picture.boxes:
        name = PRIVACY.classes[int(kind)]
        side = x1 - x0 if name == "licence_plate" else min(x1 - x0, y1 - y0)
        if trust == 1.0 and side >= SMALLEST_PX[name]:
            result.append((name, np.array([x0, y0, x1, y1])))
    return result


def share_covered(raster: np.ndarray, box: np.ndarray) -> float:
    x0, y0, x1, y1 = np.round(box / RASTER).astype(int).clip(0)
    inside = raster[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    return float(inside.mean()) if inside.size else 1.0


class Scorer:
    """Held-out pictures with what the network saw, ready to be scored under many rules."""

    def __init__(self, found: list[Seen], pictures: list[Picture]):
        self.pictures = pictures
        self.rows = [suppress(seen.rows, NMS_IOU, PRIVACY.group_of_class) for seen in found]
        self.regions = [judged(picture) for picture in pictures]
        self.outside = [
            ~painted(grown(picture.boxes[:, 1:5], GROWN), picture.pixels.shape[1], picture.pixels.shape[0])
            for picture in pictures
        ]

    def tally(self, rules: Rules) -> Tally:
        covered, regions, missed = defaultdict(int), defaultdict(int), []
        masked = outside_px = 0
        for picture, rows, labelled, outside in zip(self.pictures, self.rows, self.regions, self.outside):
            raster = painted(masks(rows, rules), picture.pixels.shape[1], picture.pixels.shape[0])
            masked += int((raster & outside).sum())
            outside_px += int(outside.sum())
            for name, box in labelled:
                regions[name] += 1
                if share_covered(raster, box) >= COVERED:
                    covered[name] += 1
                else:
                    missed.append((picture.name, name, box))
        return Tally(covered, regions, missed, masked / max(outside_px, 1))

    def choose(self) -> Rules:
        """Rules with high bounds, each counted up to `BOUND_WANTED`, that mask at most `ELSEWHERE_LIMIT` elsewhere: for each
        price of masking elsewhere the classes' rules are bettered one after the other, and the best of the results that keep
        the limit is taken. What is chosen on some pictures flatters on the same ones; see `--choose`."""
        best, best_worth = None, -1.0
        for price in PRICES:
            rules = [NOTHING] * len(PRIVACY.classes)
            for _ in range(2):
                for kind in range(len(PRIVACY.classes)):
                    rules[kind] = min(CHOICES, key=lambda rule: self.cost(rules, kind, rule, price))
            tally = self.tally(tuple(rules))
            worth = sum(min(tally.bound(name), BOUND_WANTED) for name in PRIVACY.classes)
            bounds = " ".join(f"{tally.bound(name):.3f}" for name in PRIVACY.classes)
            print(f"price {price}: masked elsewhere {tally.elsewhere:.3f}, bounds {bounds}", flush=True)
            if tally.elsewhere <= ELSEWHERE_LIMIT and worth > best_worth:
                best, best_worth = tuple(rules), worth
        if best is None:
            raise SystemExit(f"no rules mask at most {ELSEWHERE_LIMIT} elsewhere; the network needs more training")
        return best

    def cost(self, rules: list[Rule], kind: int, rule: Rule, price: float) -> float:
        tally = self.tally(tuple(rule if other == kind else kept for other, kept in enumerate(rules)))
        missing = sum(max(0.0, BOUND_WANTED - tally.bound(name)) for name in PRIVACY.classes)
        shown = sum(1 - tally.covered[name] / max(tally.regions[name], 1) for name in PRIVACY.classes)
        return missing + 0.05 * shown + price * tally.elsewhere


def report(name: str, tally: Tally) -> str:
    lines = [f"== {name}: masked elsewhere {tally.elsewhere:.3f}"]
    for kind in PRIVACY.classes:
        if total := tally.regions[kind]:
            share = tally.covered[kind] / total
            lines.append(f"  {kind}: covered {share:.3f} of {total}, one-sided 95 % bound {tally.bound(kind):.3f}")
    return "\n".join(lines)


def cover_summary(name: str, found: list[Seen], pictures: list[Picture]) -> str:
    scorer = Scorer(found, pictures)
    return report(f"{name}, {len(pictures)} pictures, every class at {SAMPLE[0]}", scorer.tally(SAMPLE))


def halves(pictures: list[Picture]) -> dict[str, list[int]]:
    """The pictures by number in two halves; those of one group or one video stay together, and so do a still's two copies."""
    result: dict[str, list[int]] = {"one": [], "the other": []}
    for number, picture in enumerate(pictures):
        scene = picture.group or VIDEO.split(still_of(picture.name))[0]
        even = int(hashlib.sha256(scene.encode()).hexdigest(), 16) % 2 == 0
        result["one" if even else "the other"].append(number)
    return result


def peer_sees(session, pixels: np.ndarray, floor: float) -> Seen:
    """A teacher looking, in pixels."""
    rows, (height, width) = look(session, pixels, floor), pixels.shape[:2]
    return Seen(rows * np.array([width, height, width, height, 1, 1]), None)


def shipped_rules(manifest: Path) -> Rules:
    with open(manifest, "rb") as file:
        entry = next(model for model in tomllib.load(file)["model"] if model["task"] == "privacy")
    table = entry["masks"]
    return tuple(Rule(table[kind]["score_threshold"], table[kind]["dilation"]) for kind in PRIVACY.classes)


def by_source(scorer: Scorer, tally: Tally) -> str:
    total, missed = defaultdict(int), defaultdict(int)
    for picture, labelled in zip(scorer.pictures, scorer.regions):
        for name, _ in labelled:
            total[picture.source, name] += 1
    for picture, name, _ in tally.missed:
        missed[picture.split("_")[0], name] += 1
    return "\n".join(f"  {source} {name}: {count - missed[source, name]} of {count}" for (source, name), count in sorted(total.items()))


def damages_touched(model, pictures: list[Picture], rules: Rules, name: str) -> str:
    """How many labelled damages of a drive a mask touches: those go without a picture, rightly or not."""
    touched = total = 0
    for picture in pictures:
        found = suppress(predict(model, picture.pixels, FLOOR).rows, NMS_IOU, PRIVACY.group_of_class)
        hidden = masks(found, rules)
        for _, x0, y0, x1, y1, _ in picture.boxes:
            apart = (hidden[:, 0] >= x1) | (hidden[:, 2] <= x0) | (hidden[:, 1] >= y1) | (hidden[:, 3] <= y0)
            touched += bool((~apart).any())
            total += 1
    return f"{name}: a mask touches {touched} of {total} labelled damages in {len(pictures)} stills"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="privacy.onnx or a checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, help="score with the rules of this file")
    parser.add_argument("--choose", action="store_true", help="search thresholds and dilations on the held-out pictures")
    parser.add_argument("--roads", type=Path, action="append", default=[], help="road pictures: how much of them is masked?")
    parser.add_argument("--thresholds", type=float, nargs=4, help="other rules, in the order of the classes")
    parser.add_argument("--dilations", type=float, nargs=4, default=[0.1] * 4)
    parser.add_argument("--drive", type=Path, action="append", default=[], help="a road drive: how many damages are masked?")
    parser.add_argument("--drive-boxes", type=Path, action="append", default=[])
    parser.add_argument("--peer", action="store_true", help="the model is PicoDet-S of COCO: what would it do in our place?")
    parser.add_argument("--list-missed", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = open_teacher(options.model) if options.peer else open_model(options.model)
    _, held_out = read_privacy(options.data)
    see = peer_sees if options.peer else predict
    seen = [see(model, picture.pixels, FLOOR) for picture in held_out]
    scorer = Scorer(seen, held_out)
    rules = shipped_rules(options.manifest) if options.manifest else SAMPLE
    if options.choose:
        for name, half in halves(held_out).items():
            other = [number for number in range(len(held_out)) if number not in half]
            rules = Scorer([seen[i] for i in half], [held_out[i] for i in half]).choose()
            fair = Scorer([seen[i] for i in other], [held_out[i] for i in other]).tally(rules)
            print(report(f"chosen on {name} half, scored on the other", fair))
        rules = scorer.choose()
    if options.thresholds:
        rules = tuple(Rule(*pair) for pair in zip(options.thresholds, options.dilations, strict=True))
    for kind, rule in zip(PRIVACY.classes, rules):
        print(f'{kind} = {{ score_threshold = {rule.threshold}, dilation = {rule.dilation} }}')
    tally = scorer.tally(rules)
    print(report(f"{len(held_out)} held-out pictures", tally))
    print(by_source(scorer, tally))
    for folder in options.roads:
        pictures = read_privacy(folder)[1]
        roads = Scorer([predict(model, picture.pixels, FLOOR) for picture in pictures], pictures)
        print(report(f"{len(pictures)} held-out pictures of {folder.name}", roads.tally(rules)))
    for video, boxes in zip(options.drive, options.drive_boxes, strict=True):
        print(damages_touched(model, read_drive(video, boxes), rules, video.stem))
    if options.list_missed:
        for picture, name, box in tally.missed:
            print(f"  missed: {picture} {name} {box.round().astype(int).tolist()}")


if __name__ == "__main__":
    main()
