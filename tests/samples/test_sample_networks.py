"""The two worked examples among the samples: small enough to be checked by hand, or with numpy."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from nnshell import flow

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_images"


@pytest.fixture(scope="module")
def maker() -> Any:
    """scripts/make_sample_networks.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        spec = spec_from_file_location("networks", ROOT / "scripts" / "make_sample_networks.py")
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def outputs(model: str, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(SAMPLES / f"{model}.onnx")
    each = [session.run(None, {"input": row[None].astype(np.float32)}) for row in x]
    return [np.concatenate(parts) for parts in zip(*each, strict=True)]


def test_the_small_network_is_what_a_pencil_gets(maker: Any) -> None:
    x = np.load(SAMPLES / "mlp_inputs" / "inputs.npy")
    w = {key: np.array(value) for key, value in maker.MLP.items()}
    hidden = np.maximum(x @ w["W1"].T + w["b1"], 0)
    hidden = np.maximum(hidden @ w["W2"].T + w["b2"], 0)
    y = 1 / (1 + np.exp(-(hidden @ w["W3"].T + w["b3"])))
    assert np.allclose(outputs("mlp", x)[0], y, atol=1e-6)
    assert x[0].tolist() == [0.5, -1.0, 0.25]


def test_the_script_made_the_small_network_and_the_silhouettes(maker: Any, tmp_path: Path) -> None:
    maker.write_mlp(tmp_path)
    assert (tmp_path / "mlp.onnx").read_bytes() == (SAMPLES / "mlp.onnx").read_bytes()
    with np.load(SAMPLES / "vae_test" / "silhouettes.npz") as stored:
        few = maker.silhouettes(20, maker.TEST_SEED)
        assert np.array_equal(stored["images"][:20], few)


def test_gradients_of_the_vae_are_those_of_differences(maker: Any) -> None:
    generator = np.random.default_rng(0)
    weights = maker.first_weights(generator)
    x = maker.silhouettes(2, 5).reshape(2, -1) / 255
    noise = generator.standard_normal((2, maker.LATENT))
    _, gradient = maker.gradients(weights, x, noise)
    for key in ("W1", "bm", "Wv", "W2", "b3"):
        place = np.unravel_index(np.abs(gradient[key]).argmax(), weights[key].shape)
        moved = []
        for step in (1e-5, -1e-5):
            weights[key][place] += step
            moved.append(maker.gradients(weights, x, noise)[0])
            weights[key][place] -= step
        assert (moved[0] - moved[1]) / 2e-5 == pytest.approx(gradient[key][place], rel=1e-4)


def test_the_vae_tells_shapes_apart_better_than_their_mean() -> None:
    with np.load(SAMPLES / "vae_test" / "silhouettes.npz") as stored:
        x = stored["images"].reshape(-1, 1, 16, 16) / 255
    reconstruction, mean, logvar = outputs("vae", x)
    assert mean.shape == logvar.shape == (100, 4)
    flat = x.reshape(100, -1)
    error = float(((reconstruction - flat) ** 2).mean())
    assert error < 0.5 * float(((flat.mean(axis=0) - flat) ** 2).mean())


def test_both_go_the_whole_way_to_int8() -> None:
    for model, inputs, norm in (("mlp", "mlp_inputs", None), ("vae", "vae_test", "x: x/255")):
        project = flow.open_graph(f"sample:{model}")
        flow.adjust(project)
        flow.fuse(project, "scale8")
        images = flow.load_inputs(f"sample:{inputs}", norm=norm, limit=16)
        flow.quantize(project, flow.calibrate(project, images))
        x = flow.batches_of(project, images)[0].arrays[0]
        int8 = flow.run(project, [x[0]], engine="int8")[project.outputs[0].name]
        record = project.outputs[0].quantization.output  # type: ignore[union-attr]
        expected = outputs(model, x[:1])[0].reshape(-1)
        assert np.abs(record.dequantize(np.asarray(int8).reshape(-1)) - expected).max() < 0.1
