"""Which cells answer for which box, and what a wrong answer costs.

Assignment is task-aligned (Feng et al. 2021): a cell inside a box is judged by score^0.5 * IoU^6, the ten best cells per
box answer for it, and a cell claimed twice goes to the box it overlaps more. The score target of a cell is its alignment
scaled so that the best cell of a box gets the IoU it reaches: the score becomes "how well is the box placed".

All boxes are x0, y0, x1, y1 in input pixels.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from augment import MASK_STRIDE
from network import BINS, DetectorNet, cell_centres
from tasks import Task

TOP_CELLS = 10
SCORE_POWER = 0.5
IOU_POWER = 6.0
WEIGHT_BOX, WEIGHT_SIDES, WEIGHT_SCORE, WEIGHT_TYPE, WEIGHT_MASK = 5.0, 1.0, 1.0, 0.3, 0.5


def overlap(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU of boxes that broadcast against each other."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    union = area_a + area_b - inter + 1e-6
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1) + 1e-6
    iou = inter / union
    return iou, iou - (hull - union) / hull


@torch.no_grad()
def assign(scores, boxes, truth_boxes, truth_groups, centres, strides):
    """Cells of one picture. Returns (truth index per cell or -1, score target per cell)."""
    cells, truths = scores.shape[0], truth_boxes.shape[0]
    owner = torch.full((cells,), -1, dtype=torch.long, device=scores.device)
    target = torch.zeros(cells, device=scores.device)
    if truths == 0:
        return owner, target
    # A box smaller than a cell may contain no centre: let it reach at least 0.6 of a stride of the finest level.
    middle = (truth_boxes[:, :2] + truth_boxes[:, 2:]) / 2
    half = ((truth_boxes[:, 2:] - truth_boxes[:, :2]) / 2).clamp(min=0.6 * float(strides.min()))
    inside = ((centres[None] - middle[:, None]).abs() < half[:, None]).all(-1)
    # A side farther than the last bin cannot be said by this cell.
    far = torch.maximum(centres[None] - truth_boxes[:, None, :2], truth_boxes[:, None, 2:] - centres[None]).amax(-1)
    inside &= far < (BINS - 1.01) * strides[None]
    iou = overlap(boxes[None], truth_boxes[:, None])[0]
    alignment = scores[:, truth_groups].t().clamp(min=1e-9) ** SCORE_POWER * iou**IOU_POWER * inside
    kept = torch.zeros_like(inside)
    best = alignment.topk(min(TOP_CELLS, cells), dim=1)
    kept.scatter_(1, best.indices, best.values > 1e-12)
    # Nothing overlaps yet (first steps, very small boxes): the nearest inside cells answer.
    lost = ~kept.any(1)
    if lost.any():
        distance = (centres[None] - middle[lost][:, None]).norm(dim=-1) / strides[None]
        distance = distance + (~inside[lost]) * 1e6
        near = distance.topk(min(3, cells), dim=1, largest=False)
        kept[lost] = torch.zeros_like(kept[lost]).scatter_(1, near.indices, near.values < 1e5)
        alignment[lost] = alignment[lost].clamp(min=1e-9)
    claims = torch.where(kept, iou + 1e-6, torch.zeros_like(iou))
    value, index = claims.max(0)
    owner = torch.where(value > 0, index, owner)
    mine = kept & (owner[None] == torch.arange(truths, device=owner.device)[:, None])
    top_alignment = (alignment * mine).amax(1, keepdim=True).clamp(min=1e-12)
    top_iou = (iou * mine).amax(1, keepdim=True).clamp(min=0.05)
    target = (alignment * mine / top_alignment * top_iou).amax(0)
    return owner, target


def extent_loss(mask: torch.Tensor, batch, mask_classes) -> torch.Tensor:
    """Cells that are known: cross-entropy, and one minus their soft F1 (Dice), which does not drown in background.
    Boxes whose cells are not known: along their longer side, every row of cells must hold at least one damaged cell."""
    known = batch.mask_known
    wrong = F.binary_cross_entropy_with_logits(mask, batch.masks, reduction="none") * (1.0 + batch.masks) * known
    loss = wrong.sum() / known.sum().clamp(min=1.0) * 4.0
    share = mask.sigmoid() * known
    both = (share * batch.masks).sum((0, 2, 3))
    either = (share + batch.masks * known).sum((0, 2, 3))
    present = (batch.masks * known).sum((0, 2, 3)) > 0
    loss = loss + ((1 - (2 * both + 1) / (either + 1)) * present).sum() / present.sum().clamp(min=1)
    rows, columns = mask.shape[2:]
    weak = []
    for item, boxes in enumerate(batch.boxes):
        for kind, x0, y0, x1, y1 in (boxes[:, :5] / MASK_STRIDE).tolist():
            channel = next((c for c, kinds in enumerate(mask_classes) if round(kind * MASK_STRIDE) in kinds), None)
            if channel is None:
                continue
            left, top = max(int(x0), 0), max(int(y0), 0)
            right, bottom = min(math.ceil(x1), columns), min(math.ceil(y1), rows)
            middle = known[item, channel, (top + bottom - 1) // 2, (left + right - 1) // 2]
            if right <= left or bottom <= top or middle > 0:
                continue
            inside = mask[item, channel, top:bottom, left:right]
            weak.append(F.softplus(-inside.amax(1 if bottom - top > right - left else 0)).mean())
    return loss + 0.3 * torch.stack(weak).mean() if weak else loss


class DetectionLoss:
    def __init__(self, task: Task, width: int, height: int, device: str):
        self.task = task
        centres, strides = cell_centres(width, height)
        self.centres, self.strides = centres.to(device), strides.to(device)
        self.group_of_class = torch.tensor(task.group_of_class, device=device)

    def cells_in(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        return ((self.centres >= low) & (self.centres <= high)).all(1)

    def hide_doubtful(self, weight: torch.Tensor, doubtful: torch.Tensor) -> None:
        """In place, `weight` [N, groups] of one picture: cells inside a box without trust count for nothing in its group."""
        for box in doubtful:
            weight[self.cells_in(box[1:3], box[3:5]), self.group_of_class[box[0].long()]] = 0.0

    def __call__(self, net: DetectorNet, output, batch) -> tuple[torch.Tensor, dict[str, float]]:
        """`batch.boxes` is one [T, 6] tensor (class, x0, y0, x1, y1, trust) per picture: a box is learned as far as it is
        trusted, and one of no trust is neither right nor wrong. `batch.beliefs` says per window how far the *absence* of
        a label may be believed (0: this source never labels that group)."""
        raw, sides, *mask = output
        groups_count = len(self.task.groups)
        distances = net.distances(sides)
        low = self.centres.t()[None] - distances[:, :2] * self.strides
        high = self.centres.t()[None] + distances[:, 2:] * self.strides
        boxes = torch.cat([low, high], 1).transpose(1, 2)
        logits = raw.transpose(1, 2)
        group_logits, type_logits = logits[..., :groups_count], logits[..., groups_count:]
        probabilities = group_logits.detach().sigmoid()
        targets = torch.zeros_like(group_logits)
        weight = torch.ones_like(group_logits)
        found = []
        for item, labelled in enumerate(batch.boxes):
            truth = labelled[labelled[:, 5] > 0]
            for window in batch.beliefs[item]:
                weight[item, self.cells_in(window[:2], window[2:4])] = window[4:]
            self.hide_doubtful(weight[item], labelled[labelled[:, 5] == 0])
            groups = self.group_of_class[truth[:, 0].long()]
            owner, target = assign(
                probabilities[item], boxes[item].detach(), truth[:, 1:5], groups, self.centres, self.strides
            )
            cells = (owner >= 0).nonzero()[:, 0]
            if len(cells) == 0:
                continue
            mine = owner[cells]
            targets[item, cells, groups[mine]] = target[cells]
            weight[item, cells, groups[mine]] = truth[mine, 5]
            found.append((item, cells, truth[mine], target[cells] * truth[mine, 5]))
        total = (targets * weight).sum().clamp(min=1.0)
        # Quality-weighted: easy background counts little, answering cells count by their target.
        probability = group_logits.sigmoid()
        focus = torch.where(targets > 0, targets.clamp(min=0.05), 0.75 * probability.detach() ** 2)
        score = (F.binary_cross_entropy_with_logits(group_logits, targets, reduction="none") * focus * weight).sum() / total
        box = sides_loss = kind = group_logits.sum() * 0.0
        if found:
            item = torch.cat([torch.full_like(cells, number) for number, cells, _, _ in found])
            cells = torch.cat([entry[1] for entry in found])
            truth = torch.cat([entry[2] for entry in found])
            quality = torch.cat([entry[3] for entry in found])
            _, giou = overlap(boxes[item, cells], truth[:, 1:5])
            box = ((1 - giou) * quality).sum() / total
            centre, stride = self.centres[cells], self.strides[cells][:, None]
            goal = torch.cat([centre - truth[:, 1:3], truth[:, 3:5] - centre], 1) / stride
            goal = goal.clamp(0, BINS - 1.01)
            left = goal.floor().long()
            share = goal - left
            shares = sides[item, :, cells].view(-1, 4, BINS).log_softmax(-1)
            near = shares.gather(2, left[..., None])[..., 0] * (1 - share)
            far = shares.gather(2, left[..., None] + 1)[..., 0] * share
            sides_loss = (-(near + far).mean(1) * quality).sum() / total
            typed = truth[:, 0] < self.task.types
            if typed.any():
                wrong = F.cross_entropy(type_logits[item, cells][typed], truth[typed, 0].long(), reduction="none")
                kind = (wrong * quality[typed]).sum() / total
        masks = extent_loss(mask[0], batch, self.task.mask_classes) if mask else group_logits.sum() * 0.0
        loss = (
            WEIGHT_BOX * box + WEIGHT_SIDES * sides_loss + WEIGHT_SCORE * score + WEIGHT_TYPE * kind + WEIGHT_MASK * masks
        )
        parts = {"box": box, "sides": sides_loss, "score": score, "type": kind, "mask": masks}
        return loss, {name: float(value.detach()) for name, value in parts.items()}
