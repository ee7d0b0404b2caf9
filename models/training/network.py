"""The network of all tasks: ShuffleNetV2 backbone, light feature pyramid, anchor-free head.

Input: RGB pictures scaled to 0..1, [B, 3, H, W], H and W multiples of 32.
Strides 8, 16 and 32. The head says per cell
- one score per *group* of the task (road: crack, pothole, repair): "one of this group has its box here, this well placed";
- where the first group has types, which one it is (cracks: D00, D10, D20), as a choice among them;
- the four distances from the cell's centre to the box's sides, each as a distribution over bins of one stride
  (distribution focal loss, Li et al. 2020).
Where the task asks for it, the finest level also says, per cell of 8 x 8 pixels, whether a crack or a pothole touches it:
the extent mask. It reads the features that the scores are made of, so it costs next to nothing.

Why groups: the crack types of our largest source are a rule of thumb. Splitting a crack's evidence over three
independent scores would push all of them under the threshold, so the likeliest type carries the whole group score and
the other types carry less of it.

The modules of `Backbone` are named so that the published FastestDet weights (BSD-3-Clause) load into them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tasks import Task

STRIDES = [8, 16, 32]
BINS = 16


def conv_norm(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1, act: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return layers + [nn.ReLU(inplace=True)] if act else layers


class ShuffleUnit(nn.Module):
    """One ShuffleNetV2 unit (Ma et al. 2018). Stride 1 passes half of the channels through untouched."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.stride = stride
        middle = outputs // 2
        self.branch_main = nn.Sequential(
            *conv_norm(inputs, middle, 1),
            *conv_norm(middle, middle, 3, stride, groups=middle, act=False),
            *conv_norm(middle, outputs - inputs, 1),
        )
        if stride == 2:
            self.branch_proj = nn.Sequential(
                *conv_norm(inputs, inputs, 3, 2, groups=inputs, act=False), *conv_norm(inputs, inputs, 1)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride == 2:
            return torch.cat([self.branch_proj(x), self.branch_main(x)], 1)
        return torch.cat([x[:, 0::2], self.branch_main(x[:, 1::2])], 1)


class Backbone(nn.Module):
    REPEATS = [4, 8, 4]
    CHANNELS = [24, 48, 96, 192]

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(*conv_norm(3, self.CHANNELS[0], 3, 2))
        for number, repeats in enumerate(self.REPEATS, start=2):
            inputs, outputs = self.CHANNELS[number - 2], self.CHANNELS[number - 1]
            units = [ShuffleUnit(inputs, outputs, 2)]
            units += [ShuffleUnit(outputs // 2, outputs, 1) for _ in range(repeats - 1)]
            setattr(self, f"stage{number}", nn.Sequential(*units))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        stem = self.first_conv(x)
        c3 = self.stage2(F.max_pool2d(stem, 3, 2, 1))
        c4 = self.stage3(c3)
        return stem, c3, c4, self.stage4(c4)


class Pyramid(nn.Module):
    """Top-down and bottom-up paths with plain 3x3 convolutions, plus a path that carries fine lines past the pooling.

    The backbone pools at stride 2; a crack is one or two pixels wide there, so `detail` goes around the pool.
    """

    DETAIL = 48

    def __init__(self, channels: int, detail: bool):
        super().__init__()
        stem, c3, c4, c5 = Backbone.CHANNELS
        self.detail = nn.Sequential(*conv_norm(stem, 32, 3, 2), *conv_norm(32, self.DETAIL, 3, 2)) if detail else None
        self.lateral3 = nn.Sequential(*conv_norm(c3 + self.DETAIL * detail, channels, 1))
        self.lateral4 = nn.Sequential(*conv_norm(c4, channels, 1))
        self.lateral5 = nn.Sequential(*conv_norm(c5, channels, 1))
        self.smooth3 = nn.Sequential(*conv_norm(channels, channels, 3))
        self.smooth4 = nn.Sequential(*conv_norm(channels, channels, 3))
        self.smooth5 = nn.Sequential(*conv_norm(channels, channels, 3))
        self.down3 = nn.Sequential(*conv_norm(channels, channels, 3, 2))
        self.down4 = nn.Sequential(*conv_norm(channels, channels, 3, 2))

    def forward(self, stem, c3, c4, c5) -> list[torch.Tensor]:
        p5 = self.lateral5(c5)
        p4 = self.lateral4(c4) + F.interpolate(p5, scale_factor=2.0, mode="nearest")
        if self.detail is not None:
            c3 = torch.cat([c3, self.detail(stem)], 1)
        p3 = self.lateral3(c3) + F.interpolate(p4, scale_factor=2.0, mode="nearest")
        p3 = self.smooth3(p3)
        p4 = self.smooth4(p4 + self.down3(p3))
        p5 = self.smooth5(p5 + self.down4(p4))
        return [p3, p4, p5]


class SharedConv(nn.Module):
    """One convolution for all levels, with its own normalisation per level: few boxes teach all three levels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in STRIDES)

    def forward(self, x: torch.Tensor, level: int) -> torch.Tensor:
        return F.relu(self.norms[level](self.conv(x)))


class Head(nn.Module):
    def __init__(self, channels: int, task: Task):
        super().__init__()
        groups, masks = len(task.groups), len(task.masks)
        self.score_tower = SharedConv(channels)
        self.box_tower = SharedConv(channels)
        self.scores = nn.ModuleList(nn.Conv2d(channels, groups + task.types, 1) for _ in STRIDES)
        self.sides = nn.ModuleList(nn.Conv2d(channels, 4 * BINS, 1) for _ in STRIDES)
        for layer in self.scores:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
            nn.init.constant_(layer.bias[:groups], -4.6)  # every cell starts at a score of about 0.01
        for layer in self.sides:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self.extent = nn.Conv2d(2 * channels, masks, 1) if masks else None
        if self.extent is not None:
            nn.init.normal_(self.extent.weight, std=0.01)
            nn.init.constant_(self.extent.bias, -3.0)

    def forward(self, levels: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Scores [B, groups + types, N] and sides [B, 4*BINS, N], logits; then the extent [B, masks, H/8, W/8], if asked."""
        scores, sides, extent = [], [], []
        for index, feature in enumerate(levels):
            evidence = self.score_tower(feature, index)
            scores.append(self.scores[index](evidence).flatten(2))
            sides.append(self.sides[index](self.box_tower(feature, index)).flatten(2))
            if self.extent is not None and index == 0:
                extent = [self.extent(torch.cat([feature, evidence], 1))]
        return torch.cat(scores, 2), torch.cat(sides, 2), *extent


def cell_centres(width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres [N, 2] (x, y) in input pixels and the stride [N] of all cells, in the order of the head's output."""
    centres, strides = [], []
    for stride in STRIDES:
        ys, xs = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([xs, ys], -1).reshape(-1, 2).float() + 0.5) * stride)
        strides.append(torch.full((xs.numel(),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


class DetectorNet(nn.Module):
    def __init__(self, task: Task, channels: int | None = None):
        super().__init__()
        self.task = task
        self.channels = channels or task.channels
        self.backbone = Backbone()
        self.pyramid = Pyramid(self.channels, task.detail)
        self.head = Head(self.channels, task)
        self.register_buffer("bins", torch.arange(BINS).float(), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.head(self.pyramid(*self.backbone(x)))

    def distances(self, sides: torch.Tensor) -> torch.Tensor:
        """[B, 4*BINS, N] logits -> [B, 4, N] distances (left, top, right, bottom) in strides."""
        batch, _, cells = sides.shape
        shares = sides.view(batch, 4, BINS, cells).softmax(2)
        return (shares * self.bins.view(1, 1, BINS, 1)).sum(2)


def class_scores(raw: torch.Tensor, task: Task) -> torch.Tensor:
    """[B, groups + types, N] logits -> [B, classes, N] scores; the likeliest type carries the score of its group."""
    groups = raw[:, : len(task.groups)].sigmoid()
    if not task.types:
        return groups
    first, *others = raw[:, len(task.groups) :].split(1, 1)
    best = first
    for other in others:
        best = torch.maximum(best, other)
    # What a softmax gives, divided by its largest value.
    types = (raw[:, len(task.groups) :] - best).exp()
    return torch.cat([groups[:, :1] * types, groups[:, 1:]], 1)


class Deployed(nn.Module):
    """What is exported: pictures in, [B, 4 + classes, N] out (cx, cy, w, h in input pixels, then class scores), and where
    the task asks for it the extent mask [B, masks, H/8, W/8], probabilities.

    The mean over bins is two sums of exponentials, made by one small matrix: a softmax over an inner axis cost a fifth of
    all time in tract. Logits are bounded so that no sum overflows or vanishes."""

    LARGEST_LOGIT = 40.0

    def __init__(self, net: DetectorNet, width: int, height: int):
        super().__init__()
        self.net = net
        centres, strides = cell_centres(width, height)
        self.register_buffer("centres", centres.t()[None].contiguous())
        self.register_buffer("strides", strides[None, None].contiguous())
        sides = torch.eye(4).repeat_interleave(BINS, 1)  # [4, 4 * BINS]
        self.register_buffer("sums", torch.cat([sides * net.bins.cpu().repeat(4), sides])[None])

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores, sides, *extent = self.net(images)
        sums = torch.matmul(self.sums, sides.clamp(-self.LARGEST_LOGIT, self.LARGEST_LOGIT).exp())
        reach = sums[:, :4] / sums[:, 4:] * self.strides
        low = self.centres - reach[:, :2]
        high = self.centres + reach[:, 2:]
        boxes = torch.cat([(low + high) * 0.5, high - low, class_scores(scores, self.net.task)], 1)
        return boxes, *(mask.sigmoid() for mask in extent)


def output_names(task: Task) -> list[str]:
    return ["predictions", "extent"] if task.masks else ["predictions"]


def load_backbone(net: DetectorNet, path: str) -> int:
    """Load the FastestDet backbone. It was trained on BGR pictures, so the first layer's input channels are swapped."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = net.backbone.state_dict()
    found = {name[9:]: value for name, value in state.items() if name.startswith("backbone.") and name[9:] in own}
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    if missing:
        raise SystemExit(f"{path}: not the FastestDet weights, {len(missing)} tensors are missing, first {missing[0]}")
    found["first_conv.0.weight"] = found["first_conv.0.weight"].flip(1)
    net.backbone.load_state_dict(found, strict=False)
    return len(found)
