"""Try an exported model in 8-bit integers: is it faster, and what does it lose?

    python quantise.py --model ../road.onnx --task road --data ROAD --out road-int8.onnx
    python evaluate.py --model road-int8.onnx --data ROAD --threshold 0.31

Weights per channel and signed, activations unsigned by their range over some training pictures (static, QDQ form). Prints size
and time beside the original's. Nothing ships by itself: the road model's card says what it was worth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from pictures import Picture
from predict import Exported, network_input
from privacy_pictures import read_privacy
from road_pictures import read_real

CALIBRATION_PICTURES = 100


class Calibration(CalibrationDataReader):
    def __init__(self, pictures: list[Picture], width: int, height: int):
        chosen = [pictures[i] for i in np.random.default_rng(1).permutation(len(pictures))[:CALIBRATION_PICTURES]]
        self.inputs = iter([{"images": network_input(picture.pixels, width, height)[0]} for picture in chosen])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.inputs, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--task", choices=["road", "privacy"], required=True)
    parser.add_argument("--data", type=Path, required=True, help="the task's real pictures")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = Exported(options.model)
    train, _ = read_real(options.data) if options.task == "road" else read_privacy(options.data)
    prepared = options.out.with_suffix(".prepared.onnx")
    quant_pre_process(str(options.model), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(options.out),
        Calibration(train, model.width, model.height),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    prepared.unlink()
    for path in (options.model, options.out):
        print(f"{path}: {path.stat().st_size} bytes, one thread: median {np.median(Exported(path).millis()):.1f} ms")


if __name__ == "__main__":
    main()
