"""Masks by CLIPSeg: as transformers' own classes make them, and refused where nothing matches."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from sdgraph import Checkpoint, Node, Session, run
from sdgraph.models import resolve_part
from sdgraph.nodes import MaskByWords
from sdgraph.values import Mask, Part
from tests.support import mask_models
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mask_models.clipseg(tmp_path_factory.mktemp("clipseg"))


def probabilities(folder: Path, size: tuple[int, int], words: str) -> npt.NDArray[np.float32]:
    """What CLIPSegForImageSegmentation says, at the picture's size."""
    import torch
    import transformers

    model = transformers.CLIPSegForImageSegmentation.from_pretrained(folder)
    processor = transformers.CLIPSegProcessor(
        transformers.ViTImageProcessorPil.from_pretrained(folder),
        transformers.AutoTokenizer.from_pretrained(folder),
    )
    inputs = processor(
        text=[words],
        images=[photo(*size).rgb],
        return_tensors="pt",
        padding=True,
        input_data_format="channels_last",
    )
    with torch.no_grad():
        values_found = model(**inputs).logits.sigmoid().numpy()
    return np.asarray(cv2.resize(values_found.reshape(32, 32), size))


@pytest.mark.torch
@pytest.mark.parametrize("size", [(64, 64), (75, 53), (90, 3), (3, 90), (1, 1), (16_000, 1)])
@pytest.mark.parametrize("words", ["a cat", "THE  DOG"])
def test_it_marks_where_the_probability_reaches_the_threshold(
    session: Session, folder: Path, size: tuple[int, int], words: str
) -> None:
    sure = probabilities(folder, size, words)
    threshold = float(np.median(sure)) - 1e-5
    node = MaskByWords(
        image=photo(*size), words=words, threshold=threshold, checkpoint=Checkpoint(folder)
    )
    result = run(node, session=session)
    assert type(result) is Mask and result.size == size
    assert (result.numpy == np.where(sure >= threshold, 255, 0)).all()
    assert result.numpy.any()


@pytest.mark.torch
def test_other_words_find_other_things(session: Session, folder: Path) -> None:
    one, other = (probabilities(folder, (64, 64), words) for words in ("a cat", "dog"))
    assert np.abs(one - other).max() > 0.01


@pytest.mark.torch
def test_words_that_match_nothing_are_refused(session: Session, folder: Path) -> None:
    sure = probabilities(folder, (64, 64), "a cat").max()
    node = MaskByWords(
        image=photo(64, 64), words="a cat", threshold=0.9999999, checkpoint=Checkpoint(folder)
    )
    text = str(failure(node, session))
    assert "'a cat'\n  found:  it marks nothing in the picture of 64×64\n  wanted: words" in text
    assert f"a threshold of at most {sure:.3f}" in text


@pytest.mark.torch
def test_too_many_words_are_refused(session: Session, folder: Path) -> None:
    node = MaskByWords(image=photo(8, 8), words="x y " * 10, checkpoint=Checkpoint(folder))
    text = str(failure(node, session))
    assert "words\n  found:  22 tokens\n  wanted: at most 20" in text


class Words(Node[str]):
    """Words that are known when the graph runs."""

    said: str

    def run(self) -> str:
        return self.said


@pytest.mark.torch
def test_words_may_come_from_a_node(session: Session, folder: Path) -> None:
    node = MaskByWords(
        image=photo(64, 64),
        words=Words(said="a cat"),
        threshold=1e-6,
        checkpoint=Checkpoint(folder),
    )
    assert run(node, session=session) == run(node.replace(words="a cat"), session=session)
    text = str(failure(node.replace(words=Words(said=" ")), session))
    assert "wanted: what to look for, in words" in text


def test_blank_words_are_refused() -> None:
    assert "MaskByWords.words" in refused_at_construction(MaskByWords, image=photo(8, 8), words=" ")


@pytest.mark.torch
@pytest.mark.parametrize("lost", ["preprocessor_config.json", "tokenizer_config.json"])
def test_a_folder_that_lost_a_config_is_refused_before_loading(
    folder: Path, tmp_path: Path, lost: str
) -> None:
    shutil.copytree(folder, other := tmp_path / "other")
    (other / lost).unlink()
    text = refused_before_load(
        MaskByWords(image=photo(8, 8), words="a", checkpoint=Checkpoint(other))
    )
    assert str(other) in text and lost in text


def test_a_checkpoint_of_another_kind_is_refused_before_it_is_loaded() -> None:
    text = refused_before_load(
        MaskByWords(image=photo(8, 8), words="a", checkpoint=Checkpoint("tiny/depth-estimator"))
    )
    assert "a CLIPSegForImageSegmentation" in text


@pytest.mark.torch
def test_a_tokenizer_is_known_by_its_files(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, other := tmp_path / "other")
    mine, its = (Part(Checkpoint(path), tokenizer=True) for path in (folder, other))
    assert (
        resolve_part(mine).fingerprint
        == resolve_part(its).fingerprint
        != resolve_part(Part(Checkpoint(folder))).fingerprint
    )
    assert str(mine) == f"{folder}/tokenizer"
    (other / "vocab.json").write_text("{}")
    assert resolve_part(mine).fingerprint != resolve_part(its).fingerprint
