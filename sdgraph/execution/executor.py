"""Runs the steps of a plan, in one thread or in several.

1. Model steps run one after another in the calling thread, in the order of the plan. Meanwhile
   light steps (load, resize, save) run in further threads.
2. A plan without models runs in the calling thread. A further thread takes a step that can run
   whenever steps are worth a thread (see `step_threads`). While they are not, it looks again after
   a millisecond, and after twice as long each time, so that it costs small steps nothing.
   Listeners receive what they would from one thread, in the same order (see `event_order`).
3. The first step of the plan that fails ends the run, unless it is to keep going. With models the
   others stop at once; else those before it still run, because one of them may fail, too.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
import traceback
from dataclasses import replace

from sdgraph.errors import NodeFailedError, NodesFailedError, problems_in
from sdgraph.graph import Graph
from sdgraph.store import LostRecordError
from sdgraph.values.threads import run_threads

from .error_locations import error_location
from .event_emitter import EventEmitter
from .event_order import EventOrder
from .frame_chunks import ChunkFailedError
from .plan_data import Plan, Step
from .schedule import Schedule
from .step_runner import RunStoppedError, StepRunner
from .step_threads import HEAVY_SECONDS, opencv_threads, takes_step

MIN_LIGHT_THREADS = 2
"""The fewest threads for steps without models, while the calling thread runs models."""

_LONGEST_PAUSE = 0.016
"""After so many seconds at most an idle thread looks again whether steps are worth a thread."""


class Executor:
    """Runs the steps of a plan to the end, or to the first failure.

    Args:
        plan: What to run.
        runner: Runs each step.
        emitter: Makes the events of the run.
        keep_going: Whether to continue after failures with all steps that need no failed step.
        threads: How many threads run steps, the calling one among them.
    """

    def __init__(
        self,
        plan: Plan,
        runner: StepRunner,
        emitter: EventEmitter,
        *,
        keep_going: bool = False,
        threads: int = 1,
    ) -> None:
        self._plan = plan
        self._runner = runner
        self._keep_going = keep_going
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._schedule = Schedule(plan, threads)
        self._event_order = EventOrder(self._schedule, runner, emitter)
        self._stopped = False
        self._failures: dict[int, NodeFailedError] = {}
        """The failures by the positions of their steps in the plan."""
        self._lost_record: LostRecordError | None = None
        self._thread_error: BaseException | None = None
        self._has_models = bool(self._schedule.model_steps)
        light = len(plan.steps) - len(self._schedule.model_steps)
        self._thread_count = _thread_count(light, threads, runs_models=plan.runs_models)
        self._most_running = threads
        self._threads: list[threading.Thread] = []
        self._runs_in_order = False
        """Whether several threads run steps, and it is reported as if one did."""
        self._last_seconds = 0.0
        """How long the last light step took."""
        self._began: float | None = None
        """When the light step began that the calling thread runs now."""
        self._is_idle = False
        """Whether the calling thread waits for a step."""
        self._waits_for_turn = 0
        """How many threads wait to put files in their places."""

    def run(self) -> None:
        """Runs every step.

        Raises:
            NodeFailedError: A node failed.
            NodesFailedError: Several nodes failed, with `keep_going`.
            LostRecordError: A remembered result was lost; raised after everything else has run.
        """
        token = run_threads.set(self._most_running)
        try:
            if self._has_models:
                self._start_threads()
            while (index := self._next_step()) is not None:
                self._run_step(index)
        finally:
            self._stop()
            for thread in self._threads:
                thread.join()
            run_threads.reset(token)
        self._raise_failures()

    def _start_threads(self) -> None:
        """Starts the further threads, or as many as the system allows."""
        if not self._has_models:
            self._runner.wait_for_turn = self._wait_for_turn
        for number in range(self._thread_count):
            # Nodes see the context variables of the calling thread, such as numpy's error state.
            thread = threading.Thread(
                target=contextvars.copy_context().run,
                args=(self._run_light_steps,),
                name=f"sdgraph-light-{number}",
            )
            try:
                thread.start()
            except RuntimeError:
                self._schedule.threads = number + 1
                break
            self._threads.append(thread)
            self._runs_in_order = not self._has_models
        self._thread_count = len(self._threads)

    def _raise_failures(self) -> None:
        if self._thread_error is not None:
            raise self._thread_error
        if self._lost_record is not None and (self._keep_going or not self._failures):
            raise self._lost_record
        if not self._failures:
            return
        failures = [failure for _, failure in sorted(self._failures.items())]
        if not self._keep_going:
            self._runner.report_failed(failures[0])
            raise failures[0]
        raise failures[0] if len(failures) == 1 else NodesFailedError(failures)

    def _run_light_steps(self) -> None:
        """Runs light steps in a further thread; an error of the executor itself ends the run."""
        run_threads.set(self._most_running)
        try:
            while (index := self._next_step_of_thread()) is not None:
                self._run_step(index)
        except BaseException as error:
            self._thread_error = error
            self._stop()

    def _run_step(self, index: int) -> None:
        step = self._plan.steps[index]
        began = time.perf_counter()
        try:
            # A step that imports OpenCV is the first to use it, and shares with none.
            if self._threads and "cv2" in sys.modules and not step.runs_models:
                with opencv_threads:
                    self._runner.run(step)
            else:
                self._runner.run(step)
        except (Exception, SystemExit) as error:  # sys.exit(0) in a node is no success
            if not self._is_left_to_nodes(step, error):
                self._fail(index, step, error)
                return
        self._finish(index, time.perf_counter() - began)

    def _is_left_to_nodes(self, step: Step, error: Exception | SystemExit) -> bool:
        """Whether a stage failed whose nodes are to fail, each by itself, and no others."""
        if step.stage is None or isinstance(error, RunStoppedError):
            return False
        if isinstance(error, LostRecordError):
            return True  # its nodes will not find it either
        if self._keep_going:
            traceback.clear_frames(error.__traceback__)
            self._runner.keep_failure(step.stage, error)
        return self._keep_going

    def _next_step(self) -> int | None:
        """The next step for the calling thread, waiting for one; None when there are no more."""
        schedule = self._schedule
        with self._lock:
            self._began = None
            while schedule.unfinished and not self._stopped:
                if self._has_models and (index := schedule.take_model_step()) is not None:
                    self._changed.notify_all()  # light steps may be further ahead now
                    return index
                if (index := schedule.next_light_step()) is not None:
                    self._take(index)
                    if self._thread_count:
                        self._prepare_threads()
                    return index
                self._is_idle = True
                self._changed.wait()
                self._is_idle = False
        return None

    def _prepare_threads(self) -> None:
        """Starts the further threads as soon as there is more than one step that can run."""
        self._began = time.perf_counter()
        if not self._threads and self._schedule.next_light_step() is not None:
            self._start_threads()

    def _next_step_of_thread(self) -> int | None:
        """The next step for a further thread, waiting for one; None when there are no more."""
        schedule, pause = self._schedule, HEAVY_SECONDS
        with self._changed:
            while schedule.unfinished and not self._stopped:
                index = schedule.next_light_step()
                if index is not None and (self._has_models or self._is_worth_it()):
                    self._take(index)
                    return index
                self._changed.wait(None if self._has_models else pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return None

    def _is_worth_it(self) -> bool:
        """Whether a further thread takes a step, in a plan without models."""
        running = 0.0 if self._began is None else time.perf_counter() - self._began
        return takes_step(running, self._last_seconds)

    def _take(self, index: int) -> None:
        """Takes a light step for this thread."""
        if self._runs_in_order:
            self._event_order.begin(index)
        self._schedule.take_light_step(index)

    def _wait_for_turn(self) -> None:
        """Waits until all steps before that of this thread have finished."""
        with self._changed:
            self._waits_for_turn += 1
            while self._event_order.is_ahead and not self._stopped:
                self._changed.wait()
            self._waits_for_turn -= 1
            if self._event_order.is_ahead:
                raise RunStoppedError

    def _finish(self, index: int, seconds: float) -> None:
        with self._lock:
            dropped = self._schedule.finish(index)
            is_first = index < self._schedule.first_unfinished
            if self._runs_in_order and not (is_first and self._event_order.is_empty):
                for node in dropped:
                    self._event_order.drop(node)
                self._end_in_order(index)
            else:
                for node in dropped:
                    if self._runner.drop(node):
                        self._runner.report_released(node)
            if self._threads:
                self._last_seconds = seconds
                if self._has_models or self._is_idle or seconds >= HEAVY_SECONDS:
                    self._changed.notify_all()

    def _end_in_order(self, index: int) -> None:
        """Reports a step that has finished or failed, when those before it have."""
        self._event_order.end(index)
        self._event_order.report()
        if self._schedule.first_unfinished == self._schedule.end and self._failures:
            self._stop()
        if self._waits_for_turn:
            self._changed.notify_all()

    def _fail(self, index: int, step: Step, error: BaseException) -> None:
        # The frames of a failed node hold its models: clear them, keep the lines of the traceback.
        traceback.clear_frames(error.__traceback__)
        with self._changed:
            self._changed.notify_all()
            self._note_failure(index, step, error)
            if self._runs_in_order:
                self._end_in_order(index)

    def _note_failure(self, index: int, step: Step, error: BaseException) -> None:
        if isinstance(error, LostRecordError):
            self._lost_record = error
            self._schedule.give_up(index)
            return
        if isinstance(error, RunStoppedError):
            self._stop()
            return
        reader, maker = step, index
        if isinstance(error, ChunkFailedError):  # the frames that the step reads failed
            maker = self._schedule.position_of(error.node)
            step, error = self._plan.steps[maker], error.error
        failure = _failure(step, error, self._plan.graph)
        if not self._keep_going:
            self._failures[index] = failure
            self._schedule.end = min(self._schedule.end, index)
            if not self._runs_in_order:
                self._stop()
            return
        self._failures[maker] = failure
        self._runner.report_failed(failure)
        if reader is not step:
            self._runner.report_skipped(reader, step)
        for number in self._schedule.give_up(index):
            self._runner.report_skipped(self._plan.steps[number], step)

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._runner.stop()
            self._changed.notify_all()


def _thread_count(light: int, threads: int, *, runs_models: bool) -> int:
    """The number of threads to start, besides the calling thread.

    Args:
        light: The number of steps without models.
        threads: The number of threads that a run may use, the calling one included.
        runs_models: Whether the plan has other steps, which the calling thread runs.
    """
    if threads < 2 or not light:
        return 0
    if runs_models:
        return min(light, max(MIN_LIGHT_THREADS, threads - 1))
    return min(light, threads) - 1


def _failure(step: Step, error: BaseException, graph: Graph) -> NodeFailedError:
    """The failure of a node; a problem of a field has the place of that field in the file.

    An exception of another kind has the line of the node's own code that it came from.
    """
    place = error_location(error, type(step.node))
    problems = [
        replace(
            problem,
            found=f"{problem.found} ({place})" if place else problem.found,
            at=problem.at or graph.mark(step.node, problem.subject),
        )
        for problem in problems_in(error)
    ]
    failure = NodeFailedError(graph.names[step.node], problems, graph.mark(step.node))
    failure.__cause__ = error
    return failure
