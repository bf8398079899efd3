"""Writes ImageReward.pt (THUDM/ImageReward) as the folder that the imagereward reward reads.

    python convert_imagereward.py ImageReward.pt VOCAB PREPROCESSOR OUT

VOCAB: vocab.txt of google-bert/bert-base-uncased. PREPROCESSOR: preprocessor_config.json of a CLIP that sees pictures of 224 pixels
(openai/clip-vit-large-patch14), whose filter, mean and deviation are ImageReward's. The pickle is opened with weights_only, once, on
your machine. Needs torch and safetensors. Attention heads are not in the weights: all are 64 wide, as BLIP's."""

import argparse
import json
import pathlib
import re
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

HEAD_WIDTH = 64
HEAD_LAYERS = (0, 2, 4, 6, 7)  # of the perceptron; dropout has the other numbers
BLIP_TOKENS = ("[DEC]", "[ENC]")  # that BLIP adds behind BERT's vocabulary
# In the file by its origin and read by nothing: BLIP's contrastive projections and a count from 0 on.
UNUSED = re.compile(r"blip\.(vision_proj|text_proj)\.(weight|bias)|blip\.text_encoder\.embeddings\.position_ids")
VISION = {
    "cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj.weight": "embeddings.patch_embedding.weight", "patch_embed.proj.bias": "embeddings.patch_embedding.bias",
    "norm.weight": "post_layernorm.weight", "norm.bias": "post_layernorm.bias"}
VISION_LAYER = {"norm1": "layer_norm1", "attn.qkv": "self_attn.qkv", "attn.proj": "self_attn.projection", "norm2": "layer_norm2",
                "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
TEXT = ["embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight", "embeddings.LayerNorm.weight",
        "embeddings.LayerNorm.bias"]
TEXT_LAYER = [f"{kind}.{part}" for kind in ("attention", "crossattention")
              for part in ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")]
TEXT_LAYER += ["intermediate.dense", "output.dense", "output.LayerNorm"]


def names(vision_layers, text_layers):
    """The names of ImageReward.pt and what they are called in transformers' BLIP."""
    table = {f"blip.visual_encoder.{old}": f"vision_model.{new}" for old, new in VISION.items()}
    table |= {f"blip.text_encoder.{name}": f"text_encoder.{name}" for name in TEXT}
    for kind in ("weight", "bias"):
        for i in range(vision_layers):
            table |= {f"blip.visual_encoder.blocks.{i}.{old}.{kind}": f"vision_model.encoder.layers.{i}.{new}.{kind}"
                      for old, new in VISION_LAYER.items()}
        for i in range(text_layers):
            table |= {f"blip.text_encoder.encoder.layer.{i}.{name}.{kind}": f"text_encoder.encoder.layer.{i}.{name}.{kind}"
                      for name in TEXT_LAYER}
        table |= {f"mlp.layers.{i}.{kind}": f"mlp.layers.{i}.{kind}" for i in HEAD_LAYERS}
    return table


def read(path):
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def layers(state, prefix):
    """How many are numbered on from 0 behind `prefix`; at least one is expected."""
    found = {int(match[1]) for name in state if (match := re.match(re.escape(prefix) + r"(\d+)\.", name))}
    return next(i for i in range(1, len(found) + 2) if i not in found)


def renamed(state):
    table = names(layers(state, "blip.visual_encoder.blocks."), layers(state, "blip.text_encoder.encoder.layer."))
    if unknown := sorted(name for name in state if name not in table and not UNUSED.fullmatch(name)):
        sys.exit(f"not of ImageReward: {', '.join(unknown[:5])}; nothing was written")
    if missing := sorted(set(table) - set(state)):
        sys.exit(f"missing: {', '.join(missing[:5])}; nothing was written")
    return {new: state[old].float().contiguous() for old, new in table.items()}


def config_of(tensors):
    width, _, patch, _ = tensors["vision_model.embeddings.patch_embedding.weight"].shape
    grid = round((tensors["vision_model.embeddings.position_embedding"].shape[1] - 1) ** 0.5)
    vocabulary, text_width = tensors["text_encoder.embeddings.word_embeddings.weight"].shape

    def tower(hidden, count, inner, eps):
        return {"hidden_size": hidden, "num_hidden_layers": count, "num_attention_heads": hidden // HEAD_WIDTH,
                "intermediate_size": tensors[inner].shape[0], "hidden_act": "gelu", "layer_norm_eps": eps}

    return {"model_type": "blip",
            "vision_config": {"model_type": "blip_vision_model", "image_size": grid * patch, "patch_size": patch,
                              **tower(width, layers(tensors, "vision_model.encoder.layers."),
                                      "vision_model.encoder.layers.0.mlp.fc1.weight", 1e-6)},
            "text_config": {"model_type": "blip_text_model", "vocab_size": vocabulary, "encoder_hidden_size": width, "is_decoder": True,
                            "max_position_embeddings": tensors["text_encoder.embeddings.position_embeddings.weight"].shape[0],
                            **tower(text_width, layers(tensors, "text_encoder.encoder.layer."),
                                    "text_encoder.encoder.layer.0.intermediate.dense.weight", 1e-12)}}


def vocabulary_of(path, size):
    pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if len(pieces) == size - len(BLIP_TOKENS):
        pieces += BLIP_TOKENS
    if len(pieces) != size:
        sys.exit(f"{path}: {len(pieces)} pieces, and the model has {size}; nothing was written")
    return "\n".join(pieces) + "\n"


def check_preprocessor(path, side):
    crop = json.loads(path.read_text()).get("crop_size")
    found = crop.get("height") if isinstance(crop, dict) else crop
    if found != side:
        sys.exit(f"{path}: makes pictures of {found} pixels a side, the model takes {side}; nothing was written")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path, help="ImageReward.pt")
    parser.add_argument("vocabulary", type=pathlib.Path, help="vocab.txt of bert-base-uncased")
    parser.add_argument("preprocessor", type=pathlib.Path, help="preprocessor_config.json of a CLIP")
    parser.add_argument("out", type=pathlib.Path, help="folder to be made")
    arguments = parser.parse_args()
    tensors = renamed(read(arguments.weights))
    config = config_of(tensors)
    vocabulary = vocabulary_of(arguments.vocabulary, config["text_config"]["vocab_size"])
    check_preprocessor(arguments.preprocessor, config["vision_config"]["image_size"])
    arguments.out.mkdir(parents=True)
    shutil.copy(arguments.preprocessor, arguments.out / "preprocessor_config.json")
    (arguments.out / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, arguments.out / "model.safetensors", metadata={"format": "pt"})
    print(f"{arguments.out}: {sum(t.numel() for t in tensors.values()):,} numbers")


if __name__ == "__main__":
    main()
