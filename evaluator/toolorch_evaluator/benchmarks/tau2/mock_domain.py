"""The domain `mock`: a list of tasks, small enough to read. The package brings its data, and these are its tools.

Names, arguments, error texts and answers are those of τ²-bench v0.2.0 (src/tau2/domains/mock/tools.py); the
descriptions that models read are this project's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel

TaskStatus = Literal["pending", "completed"]


class Task(BaseModel):
    """Something to be done."""

    task_id: str
    title: str
    description: str | None = None
    status: TaskStatus


class User(BaseModel):
    """Somebody who has tasks."""

    user_id: str
    name: str
    tasks: list[str]


class MockDB(BaseModel):
    """All tasks and users, by id."""

    tasks: dict[str, Task]
    users: dict[str, User]


class MockTools:
    """The agent's tools and the functions that assert on the final state; `db` is set for each environment."""

    db: MockDB

    def create_task(self, user_id: str, title: str, description: str | None = None) -> Task:
        """Create a task for a user; it is pending at first.

        Args:
            user_id: Id of the user whose task it is.
            title: What the task is called.
            description: What it is about.
        """
        self._user(user_id)
        task = Task(task_id=f"task_{len(self.db.tasks) + 1}", title=title, description=description, status="pending")
        self.db.tasks[task.task_id] = task
        self.db.users[user_id].tasks.append(task.task_id)
        return task

    def get_users(self) -> list[User]:
        """List all users."""
        return list(self.db.users.values())

    def update_task_status(self, task_id: str, status: TaskStatus) -> Task:
        """Set the status of a task.

        Args:
            task_id: Id of the task.
            status: Its new status.
        """
        task = self._task(task_id)
        task.status = status
        return task

    def transfer_to_human_agents(self, summary: str) -> str:
        """Hand the user over to a human, because the user asks for one or policy and tools leave no other way.

        Args:
            summary: What the user came for, in short.
        """
        return "Transfer successful"

    def assert_number_of_tasks(self, user_id: str, expected_number: int) -> bool:
        """Tell whether a user has so many tasks."""
        return len(self._user(user_id).tasks) == expected_number

    def assert_task_status(self, task_id: str, expected_status: TaskStatus) -> bool:
        """Tell whether a task has this status."""
        return bool(self._task(task_id).status == expected_status)

    def _user(self, user_id: str) -> User:
        if user_id not in self.db.users:
            raise ValueError(f"User {user_id} not found")
        return self.db.users[user_id]

    def _task(self, task_id: str) -> Task:
        if task_id not in self.db.tasks:
            raise ValueError(f"Task {task_id} not found")
        return self.db.tasks[task_id]


TOOLS = ("create_task", "get_users", "update_task_status", "transfer_to_human_agents")


def tool_factories() -> tuple[Callable[[], Callable[..., Any]], ...]:
    """Return what describes each tool to models: a function of the tool's name that returns the tool."""
    return tuple(_factory(name) for name in TOOLS)


def _factory(name: str) -> Callable[[], Callable[..., Any]]:
    def factory() -> Callable[..., Any]:
        # Bound, so that its signature is without self; which object it is bound to does not matter.
        return getattr(MockTools(), name)  # type: ignore[no-any-return]

    factory.__name__ = name
    return factory
