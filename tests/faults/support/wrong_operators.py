"""Small operators with one bad habit each, and a program that runs one. Where nothing goes wrong, none is wrong.

usage: wrong_operators.py SERVER HABIT
"""

import signal
import sys
import time

from small_operator import (
    MERGE_TYPE,
    PAUSE,
    RUNS,
    TROUBLE,
    Api,
    Refused,
    SmallOperator,
    name_of,
    path_of,
    room_of,
)


class NamesByChance(SmallOperator):
    """Has the API server name its Job, and writes down the name once the Job is there."""

    def make_job(self, run):
        if not run.get("status", {}).get("results"):
            made = self.create_job(run, {"generateName": "run-"})
            self.api.ask("PATCH", f"{path_of(run)}/status", {"status": {"results": name_of(made)}}, MERGE_TYPE)
            run["status"] = {"results": name_of(made)}

    def write_status(self, run, status):
        self.api.ask("PATCH", f"{path_of(run)}/status", {"status": status}, MERGE_TYPE)


class BelievesTheWatch(SmallOperator):
    """Takes what a list or a watch shows for what is."""

    def read(self, body):
        return body

    def write_status(self, run, status):
        self.api.ask("PATCH", f"{path_of(run)}/status", {"status": status}, MERGE_TYPE)


class ForgetsTheGeneration(SmallOperator):
    """Acts on changes that it sees happen, and takes a status for a sign that all was done; it never says of what."""

    def take(self, type_, body):
        is_news = type_ == "MODIFIED" or not body.get("status", {}).get("reason")
        super().take(type_ if is_news else "DELETED", body)

    def write_status(self, run, status):
        super().write_status(run, {"reason": status["reason"]})


class ShrugsAtConflicts(SmallOperator):
    """Takes it for done that somebody else wrote first."""

    def __init__(self, api):
        super().__init__(api)
        self._done = {}

    def reconcile(self, body):
        if self._done.get(body["metadata"]["uid"]) != body["metadata"]["generation"]:
            super().reconcile(body)
            self._done[body["metadata"]["uid"]] = body["metadata"]["generation"]

    def write_status(self, run, status):
        try:
            super().write_status(run, status)
        except Refused as answer:
            if answer.code != 409:
                raise


class BeginsAfresh(SmallOperator):
    """Deletes at its start whatever an earlier life may have left."""

    def run(self):
        while True:
            try:
                for item in self.api.ask("GET", "/apis/batch/v1/jobs")["items"]:
                    self.api.ask("DELETE", f"{room_of(item, 'apis/batch/v1')}/jobs/{name_of(item)}")
                break
            except TROUBLE:
                time.sleep(PAUSE)
        super().run()


class ListsOnce(SmallOperator):
    """Goes on from the last version that it saw, and from now where the watch says that this one is too old."""

    def run(self):
        version = self._begin()
        while True:
            try:
                if self.watch(version):
                    version = self.api.ask("GET", f"{RUNS}?limit=1")["metadata"]["resourceVersion"]
                else:
                    version = str(max(int(version), self._seen))
            except TROUBLE:
                time.sleep(PAUSE)

    def take(self, type_, body):
        self._seen = int(body["metadata"]["resourceVersion"])
        super().take(type_, body)

    def _begin(self):
        self._seen = 0
        while True:
            try:
                return self.list()
            except TROUBLE:
                time.sleep(PAUSE)


class CountsEvents(SmallOperator):
    """Counts changes as it hears of them, in place of reading how many there were."""

    def __init__(self, api):
        super().__init__(api)
        self._heard = 0

    def take(self, type_, body):
        if body["metadata"]["generation"] != body.get("status", {}).get("observedGeneration"):
            self._heard += 1
        super().take(type_, body)

    def write_echo(self, run, echoed):
        super().write_echo(run, {**echoed, "changes": str(self._heard)})


class NeverRests(SmallOperator):
    """Writes when it looked, at each look, and looks because something was written."""

    def write_status(self, run, status):
        time.sleep(PAUSE)
        super().write_status(run, {**status, "results": str(time.time())})


HABITS = {
    "right": SmallOperator,
    "names-by-chance": NamesByChance,
    "believes-the-watch": BelievesTheWatch,
    "forgets-the-generation": ForgetsTheGeneration,
    "shrugs-at-conflicts": ShrugsAtConflicts,
    "begins-afresh": BeginsAfresh,
    "lists-once": ListsOnce,
    "counts-events": CountsEvents,
    "never-rests": NeverRests,
}


def main():
    """Run an operator of some habit until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server, habit = sys.argv[1:]
    HABITS[habit](Api(server)).run()


if __name__ == "__main__":
    main()
