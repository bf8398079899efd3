"""Writes the weights of an open_clip model (HPSv2's, LAION's) as a folder of transformers' CLIPModel, which the clip reward reads.

    python convert_open_clip.py HPS_v2.1_compressed.pt CLIP_FOLDER OUT

CLIP_FOLDER: any CLIP of transformers' layout, for its tokenizer and preprocessor_config.json, alike for all of them (that of
laion/CLIP-ViT-H-14-laion2B-s32B-b79K for HPSv2). The pickle is opened with weights_only, once, on your machine. Needs torch and
safetensors. Heads are not in the weights: 80 wide in the picture tower of ViT-H-14, 64 elsewhere, unless --vision-head-width says
otherwise; --quick-gelu for OpenAI's own weights."""

import argparse
import json
import pathlib
import re
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

HEAD_WIDTHS = {1280: 80, 1664: 104}  # of picture towers; 64 of all others and of all texts
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json",
                   "preprocessor_config.json", "processor_config.json")
LAYER = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1",
         "mlp.c_proj": "mlp.fc2"}
NAMES = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
}
TRANSPOSED = ("text_projection", "visual.proj")  # open_clip multiplies from the right


def read(path):
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state.get("state_dict", state)


def renamed(state):
    """In transformers' names; the three matrices of attention, one in open_clip, apart."""
    tensors, unknown = {}, []
    for name, tensor in state.items():
        name = name.removeprefix("module.")
        if name in NAMES:
            tensors[NAMES[name]] = tensor.T if name in TRANSPOSED else tensor
            continue
        layer = re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", name)
        if not layer or (layer[3] not in LAYER and layer[3] != "attn.in_proj"):
            unknown.append(name)
            continue
        prefix = f"{'vision' if layer[1] else 'text'}_model.encoder.layers.{layer[2]}."
        if layer[3] == "attn.in_proj":
            for part, piece in zip("qkv", tensor.chunk(3)):
                tensors[f"{prefix}self_attn.{part}_proj.{layer[4]}"] = piece
        else:
            tensors[f"{prefix}{LAYER[layer[3]]}.{layer[4]}"] = tensor
    if unknown:
        sys.exit(f"not of a CLIP of open_clip: {', '.join(sorted(unknown)[:5])}; nothing was written")
    if missing := sorted(set(NAMES.values()) - set(tensors)):
        sys.exit(f"missing: {', '.join(missing[:5])}; nothing was written")
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}


def layers(tensors, tower):
    return 1 + max(int(name.split(".")[3]) for name in tensors if name.startswith(f"{tower}_model.encoder.layers."))


def config_of(tensors, vision_head_width, activation):
    patches = tensors["vision_model.embeddings.patch_embedding.weight"]
    width, patch = patches.shape[0], patches.shape[-1]
    positions = tensors["vision_model.embeddings.position_embedding.weight"].shape[0] - 1
    vocabulary, text_width = tensors["text_model.embeddings.token_embedding.weight"].shape
    embedded = tensors["visual_projection.weight"].shape[0]

    def tower(name, hidden, head_width):
        return {"hidden_size": hidden, "num_hidden_layers": layers(tensors, name), "num_attention_heads": hidden // head_width,
                "intermediate_size": tensors[f"{name}_model.encoder.layers.0.mlp.fc1.weight"].shape[0], "hidden_act": activation,
                "layer_norm_eps": 1e-5, "projection_dim": embedded}

    return {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": embedded,
            "vision_config": {**tower("vision", width, vision_head_width or HEAD_WIDTHS.get(width, 64)), "patch_size": patch,
                              "image_size": patch * round(positions ** 0.5)},
            "text_config": {**tower("text", text_width, 64), "vocab_size": vocabulary,
                            "eos_token_id": 2,  # of old: features are those of the largest id, as in open_clip
                            "max_position_embeddings": tensors["text_model.embeddings.position_embedding.weight"].shape[0]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path, help=".pt or .safetensors in open_clip's names")
    parser.add_argument("clip", type=pathlib.Path, help="folder with a CLIP's tokenizer and preprocessor_config.json")
    parser.add_argument("out", type=pathlib.Path, help="folder to be made")
    parser.add_argument("--vision-head-width", type=int)
    parser.add_argument("--quick-gelu", action="store_true")
    arguments = parser.parse_args()
    tensors = renamed(read(arguments.weights))
    config = config_of(tensors, arguments.vision_head_width, "quick_gelu" if arguments.quick_gelu else "gelu")
    arguments.out.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        if (arguments.clip / name).exists():
            shutil.copy(arguments.clip / name, arguments.out / name)
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, arguments.out / "model.safetensors", metadata={"format": "pt"})
    print(f"{arguments.out}: {sum(t.numel() for t in tensors.values()):,} numbers")


if __name__ == "__main__":
    main()
