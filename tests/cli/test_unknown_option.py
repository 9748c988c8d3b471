"""An option that a command does not have leads to what to write instead."""

from __future__ import annotations

import pytest

from sdgraph.cli import main


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("--gpu", "did you mean --device?"),
        ("--cpu", "did you mean --device?"),
        ("--fp16", "did you mean --dtype?"),
        ("--output-directory", "did you mean --out?"),
        ("--lowvram", "did you mean --vram?"),
        ("--outpt", "did you mean --out?"),
        ("--seed", "an input of the workflow is written without dashes: seed=VALUE"),
        (
            "--negative-prompt",
            "an input of the workflow is written without dashes: negative_prompt=VALUE",
        ),
        ("-x", ""),
    ],
)
def test_an_unknown_option_of_run(
    option: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "text", option, "3"])
    assert ended.value.code == 2
    said = capsys.readouterr().err.rstrip().splitlines()[-1]
    assert said == f"Error: No such option: {option}" + (f"; {advice}" if advice else "")


def test_a_command_without_inputs_proposes_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "--seed"])
    assert capsys.readouterr().err.rstrip().endswith("No such option: --seed")


def test_commands_below_another_give_the_same_advice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cache", "prune", "--oldr", "3d"])
    assert capsys.readouterr().err.rstrip().endswith("did you mean --older?")
