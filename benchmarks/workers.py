"""Contestants as processes of their own. Two libraries in one process fight over its threads; a worker that waits for
its next line doesn't compute at all.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import Pause, with_variables

ROOT = Path(__file__).parent.parent
pause = Pause()


class TaskFailed(RuntimeError):
    """A worker could not do what it was asked, or is gone; the message says why."""


class Worker:
    """A process that runs `python -m module settings` and answers lines.

    Args:
      module: calls `serve`.
      settings: what it shall be, a dict that JSON can hold.
      environment: variables to add.
    """

    def __init__(self, module: str, settings: dict, environment: dict[str, str]):
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=with_variables(environment),
        )

    def ask(self, service: str, **arguments):
        """Returns what the worker's service answers. Raises TaskFailed."""
        try:
            self.process.stdin.write(json.dumps([service, arguments]) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise TaskFailed(f"the worker ended with status {self.process.wait()}")
        answer = json.loads(answer)
        if "error" in answer:
            raise TaskFailed(answer["error"])
        return answer["result"]

    def seconds(self, action: str, repeats: int = 1) -> float:
        """Returns the seconds that an action takes, when everything else is quiet."""
        pause()
        return self.ask("time", action=action, repeats=repeats)

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()


def serve(actions: dict[str, Callable], services: dict[str, Callable]) -> None:
    """Answers the lines of a `Worker` until it closes. What libraries print goes to standard error.

    Args:
      actions: name -> function without arguments that returns once its work is done, for the services "prepare" (the
        first call, compilation included) and "time" (the median of some calls), which answer seconds.
      services: name -> function whose result, which JSON can hold, is the answer.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    services = services | {
        "prepare": lambda action: stopwatch(actions[action], 1),
        "time": lambda action, repeats: stopwatch(actions[action], repeats),
    }
    for line in sys.stdin:
        service, arguments = json.loads(line)
        try:
            answer = json.dumps({"result": services[service](**arguments)})
        except Exception as error:
            traceback.print_exc()
            answer = json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})
        print(answer, file=answers, flush=True)


def stopwatch(action: Callable, repeats: int) -> float:
    """Returns the median seconds of some calls; of many, after one that is not counted."""
    if repeats > 1:
        action()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)
