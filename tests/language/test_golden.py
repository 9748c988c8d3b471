"""Each wrong workflow in tests/bad is refused with exactly the text of the .txt file next to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdgraph.errors import InvalidWorkflowError
from sdgraph.language import load_workflow
from tests.support import toys

FOLDER = Path(__file__).parents[1] / "bad"
CASES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_workflow_says_all_that_is_wrong(
    case: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(InvalidWorkflowError) as caught:
        load_workflow(f"{case}.yaml", registry=toys.REGISTRY).graph()
    message = str(caught.value).replace(f"{FOLDER}/", "") + "\n"
    golden = FOLDER / f"{case}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(message, encoding="utf-8")
    assert message == golden.read_text(encoding="utf-8")
    assert toys.ran == []


def test_every_text_has_its_workflow() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == CASES and len(CASES) >= 20
