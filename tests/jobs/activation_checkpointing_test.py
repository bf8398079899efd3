"""`/model/activation_checkpointing` is exact: a run with it leaves the same weights to the byte."""

import pytest
from program import run_job
from resuming import make_files, short_job


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("checkpointing"))


@pytest.mark.parametrize("method,lora,dtype", [("flow_grpo", True, "float32"), ("diffusion_nft", True, "bfloat16"),
                                               ("awm", False, "float32")])
def test_the_same_weights_to_the_byte(method, lora, dtype, files, tmp_path):
    left = {}
    for checkpointing in (False, True):
        job = short_job(files, method, iterations=2, evaluate={"every": 2, "steps": 2, "pictures": 0})
        job["model"] |= {"dtype": dtype, "activation_checkpointing": checkpointing}
        if lora:
            job["model"]["lora"] |= {"rank_pattern": {"attn.to_q": 2}, "alpha_pattern": {"attn.to_k": 1}}
        else:
            del job["model"]["lora"]
        run = run_job(tmp_path / str(checkpointing), job)
        weights = "pytorch_lora_weights.safetensors" if lora else "model/transformer/diffusion_pytorch_model.safetensors"
        left[checkpointing] = (run / weights).read_bytes()
    assert left[True] == left[False]
    # And they are those of a run that trained.
    job["optimizer"] = job["optimizer"] | {"learning_rate": 0.0}
    assert (run_job(tmp_path / "still", job) / weights).read_bytes() != left[True]
