"""Pure predict: the whole fused pass (uint8 in, answers back) against the encoder's forward pass alone.

Interleaved repeats in one process, medians and spread; prints a table, then one JSON line.

    .venv/bin/python benchmarks/predict.py [--device cpu|cuda] [--repeats 9]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from model_store.architecture import Architecture
from model_store.autoencoder import to_images
from model_store.clusterer import QUANTILES, Clusterer
from model_store.encoders import new_encoder
from model_store.predictor import Predictor, best_device

BATCHES = (1, 32, 256, 1024)
K, P = 10, 32


def random_clusterer(dim: int) -> Clusterer:
    """Arrays of the right shapes: what they hold does not change what they cost."""
    rng = np.random.default_rng(0)
    return Clusterer(
        mean=np.zeros(dim, np.float32),
        components=rng.normal(size=(P, dim)).astype(np.float32),
        explained_variance=np.ones(P, np.float32),
        centroids=rng.normal(size=(K, P)).astype(np.float32),
        counts=np.ones(K, np.int64),
        distance_quantiles=np.sort(rng.random((K, len(QUANTILES))).astype(np.float32)),
        unknown_distance=np.ones(K, np.float32),
    )


def seconds(work: Callable[[], object], device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    device = best_device(options.device)
    architecture = Architecture()
    encoder = new_encoder(architecture)
    predictor = Predictor(encoder, random_clusterer(architecture.embedding_dim), device)
    threads = torch.get_num_threads()
    print(f"{architecture.input_size} px, {device}, torch {torch.__version__}, {threads} threads")
    print(f"{'batch':>6} {'predict images/s':>18} {'forward images/s':>18} {'ratio':>6}  predict spread")
    answer = {}
    for batch in BATCHES:
        size = architecture.input_size
        pixels = np.random.default_rng(0).integers(0, 255, (batch, size, size, 3), dtype=np.uint8)
        images = to_images(torch.from_numpy(pixels).to(device))
        whole, alone = [], []
        with torch.inference_mode():
            for repeat in range(options.repeats + 2):
                a = seconds(lambda p=pixels: predictor(p), device)  # type: ignore[misc]
                b = seconds(lambda x=images: encoder(x), device)  # type: ignore[misc]
                if repeat >= 2:  # the first ones warm up
                    whole.append(batch / a)
                    alone.append(batch / b)
        ratio = statistics.median(w / f for w, f in zip(whole, alone, strict=True))
        predict, forward = statistics.median(whole), statistics.median(alone)
        spread = f"{min(whole):,.0f} to {max(whole):,.0f}"
        print(f"{batch:>6} {predict:>18,.0f} {forward:>18,.0f} {ratio:>6.2f}  {spread}")
        answer[str(batch)] = {"predict": round(predict), "forward": round(forward), "ratio": round(ratio, 3)}
    print(json.dumps({"benchmark": "predict", "device": device, "images_per_s": answer}))


if __name__ == "__main__":
    main()
