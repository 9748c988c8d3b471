"""A command or an option that there is not leads to what to write instead."""

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
def test_an_usage_advice_of_run(
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


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["portrait.yaml"], "To run a workflow: sdgraph run portrait.yaml"),
        (["text", "seed=3"], "To run a workflow: sdgraph run text"),
        (["check", "a.yaml"], "Did you mean validate?"),
        (["generate"], "Did you mean run?"),
        (["history"], "Did you mean runs?"),
    ],
)
def test_a_command_that_there_is_not(
    words: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err.rstrip().splitlines()[-1]
    assert said == f"Error: No such command '{words[0]}'. {advice}"


@pytest.mark.parametrize(
    ("argument", "fix"),
    [
        ("negative_prompt=ugly", "to set a field of a node: --set picture.negative_prompt=ugly"),
        ("cfg=3", "to set a field of a node: --set picture.guidance=3"),
        ("sed=3", "did you mean 'seed'?"),
        ("seed", "write seed=VALUE"),
        ("seed:3", "write seed=3"),
    ],
)
def test_an_argument_that_is_no_input(
    argument: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "text", argument])
    assert ended.value.code == 2
    assert f"fix:    {fix}" in capsys.readouterr().err
