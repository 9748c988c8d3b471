"""A checkpoint may take components from elsewhere; asking for one gives its own source."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.values import Checkpoint, ComponentSource, Lora, Part

MIXED = Checkpoint(
    "a/b", dtype="float16", vae="./x.safetensors", unet={"source": "c/d", "subfolder": "unet"}
)


def test_components_from_elsewhere_are_part_of_a_checkpoint() -> None:
    plain = Checkpoint("a/b", dtype="float16")
    assert plain.parts == {} and MIXED.parts["vae"] == Checkpoint("./x.safetensors")
    assert MIXED not in (plain, Checkpoint("a/b", dtype="float16", vae="./x.safetensors"))
    assert Checkpoint("a", vae=Path("x")) == Checkpoint("a", vae={"source": "x"}, unet=None)
    same = [Checkpoint.parse(MIXED.as_data()), eval(repr(MIXED)), pickle.loads(pickle.dumps(MIXED))]
    assert same == [MIXED] * 3 and len({MIXED, *same}) == 1
    assert MIXED.in_dtype(None).parts == MIXED.parts and MIXED.as_data() == {
        "source": "a/b",
        "dtype": "float16",
        "vae": "./x.safetensors",
        "unet": {"source": "c/d", "subfolder": "unet"},
    }


def test_a_part_from_elsewhere_is_the_model_that_its_source_names() -> None:
    vae, unet, text = (Part(MIXED, name) for name in ("vae", "unet", "text_encoder"))
    assert str(vae) == "./x.safetensors" and (vae.folder, vae.component) == ("", "vae")
    assert (
        str(unet) == "c/d/unet"
        and isinstance(vae.checkpoint, ComponentSource)
        and vae.checkpoint.base == MIXED
    )
    assert vae.checkpoint.dtype == "float16" and unet.checkpoint.subfolder == "unet"
    assert (text.checkpoint, text.folder, text.component) == (MIXED, "text_encoder", "text_encoder")
    assert ComponentSource.parse(vae.checkpoint.as_data()) == vae.checkpoint
    assert pickle.loads(pickle.dumps(vae)) == vae == Part(MIXED, "vae")
    own = Checkpoint("a", dtype="float16", vae={"source": "b", "dtype": "float32"})
    assert Part(own, "vae").checkpoint.dtype == "float32"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"vea": "x"}, "did you mean 'vae'"),
        ({"scheduler": "x"}, "an unknown key"),
        ({"vae": 3}, "found:  3"),
        ({"vae": {"variant": "fp16"}}, "a mapping that has one"),
        ({"vae": {"source": "x", "quantization": "nf4"}}, "quantization, which one component"),
        ({"vae": {"source": "x", "vae": "y"}}, "vae, which one component does not have"),
        ({"vae": Lora("x")}, "put it under `loras`"),
    ],
)
def test_a_wrong_component_is_refused(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        Checkpoint.parse({"source": "a", **data})
