"""Any plan is gone through to its end, whichever of the steps that can run is taken next."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sdgraph import Graph, In, Node, Session
from sdgraph.execution.schedule import Schedule


class Number(Node[int]):
    """A number."""

    value: int

    def run(self) -> int:
        return self.value


class Sum(Node[int]):
    """The sum of numbers, and of one of its own."""

    numbers: list[In[int]]
    own: int

    def run(self, numbers: list[int]) -> int:
        return sum(numbers) + self.own


class Tell(Node[int]):
    """Has an effect that no file shows."""

    effect = True
    number: In[int]
    place: int

    def run(self, number: int) -> int:
        return number


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    nodes: list[Node[int]] = [Number(value=0)]
    for place in range(draw(st.integers(0, 12))):
        read = draw(st.lists(st.sampled_from(range(len(nodes))), min_size=1, max_size=3))
        if draw(st.booleans()):
            nodes.append(Sum(numbers=[nodes[n] for n in read], own=place))
        else:
            nodes.append(Tell(number=nodes[read[0]], place=place))
    return Graph.of(*nodes)


@given(graphs(), st.data())
def test_every_step_ends_after_those_that_it_reads(graph: Graph, data: st.DataObject) -> None:
    plan = Session(store=None).plan(graph)
    schedule = Schedule(plan, threads=data.draw(st.integers(1, 4)))
    running: list[int] = []
    finished: list[int] = []
    dropped: list[Node[Any]] = []
    while schedule.unfinished:
        begin = schedule.next_light_step()
        if begin is not None and (not running or data.draw(st.booleans())):
            schedule.take_light_step(begin)
            running.append(begin)
            continue
        ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
        released = schedule.finish(ended)
        finished.append(ended)
        dropped += released
        done = {plan.steps[n].node for n in finished}
        for node in released:  # everything that reads it has finished
            assert {s.node for s in plan.steps if node in s.inputs} <= done
        assert schedule.first_unfinished == min(
            set(range(len(plan.steps))) - set(finished), default=len(plan.steps)
        )
    assert sorted(finished) == list(range(len(plan.steps)))
    assert sorted(map(id, dropped)) == sorted(id(n) for s in plan.steps for n in s.releases)
    for place, index in enumerate(finished):
        before = {plan.steps[n].node for n in finished[:place]}
        assert set(plan.steps[index].inputs) <= before
    effects = [n for n in finished if plan.steps[n].node.effect]
    assert effects == sorted(effects)


@given(graphs(), st.data())
def test_what_does_not_need_a_failed_step_still_ends(graph: Graph, data: st.DataObject) -> None:
    plan = Session(store=None).plan(graph)
    schedule = Schedule(plan)
    failing = data.draw(st.integers(0, len(plan.steps) - 1))
    failed: set[Node[Any]] = set()
    finished: set[Node[Any]] = set()
    while schedule.unfinished:
        index = schedule.next_light_step()
        assert index is not None
        schedule.take_light_step(index)
        if index == failing:
            failed |= {plan.steps[n].node for n in (index, *schedule.give_up(index))}
        else:
            schedule.finish(index)
            finished.add(plan.steps[index].node)
    assert finished | failed == {step.node for step in plan.steps}
    assert not finished & failed
    for step in plan.steps:
        assert (step.node in failed) == (
            step is plan.steps[failing] or any(node in failed for node in step.inputs)
        )
