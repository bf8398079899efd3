"""The networks of exported_networks.py as exported folders: fixtures for the tests that import them."""

import pytest
from transformers import CLIPTokenizer

import clip_folder
from exported_networks import NETWORKS, PROVENANCE, ready
from program import PROGRAM

from export_reward import Export, export_reward  # exported_networks puts it on the path


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    clip_folder.make_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def processor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processor")
    clip_folder.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32, resample=3).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory, tokenizer, processor):
    """name -> (folder, module, the export), made when first asked for."""
    root, made = tmp_path_factory.mktemp("exported"), {}

    def folder(name):
        if name not in made:
            kind, arguments = NETWORKS[name]
            arguments = {**PROVENANCE, "max_batch": 16, **arguments}
            if arguments.get("tokenizer"):
                arguments["tokenizer"] = tokenizer
            if arguments.get("processor"):
                arguments["processor"] = str(processor)
            module = ready(kind())
            export_reward(module, root / name, program=str(PROGRAM), **arguments)
            made[name] = (root / name, module, Export(module, **arguments))
        return made[name]

    return folder
