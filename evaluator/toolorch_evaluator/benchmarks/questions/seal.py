"""What a model answered to a gated question, readable only by who has the question.

HLE's questions and answers must not be published, and a run's results may be. Grading needs the model's answer after
the conversation has ended, so it is stored encrypted, under a key that is made of question and reference.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken

from toolorch_evaluator.benchmarks.questions.dataset import Question


def seal(text: str, question: Question) -> str:
    """Return a text encrypted."""
    return _cipher(question).encrypt(text.encode()).decode()


def unseal(token: str, question: Question) -> str:
    """Return a sealed text; raises ValueError where it was sealed for another question."""
    try:
        return _cipher(question).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise ValueError(f"the answer to {question.id!r} was given to another version of the question") from error


def fingerprint(text: str) -> str:
    """Return 16 hex digits that tell texts apart without showing them."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cipher(question: Question) -> Fernet:
    key = hashlib.sha256(f"{question.id}\0{question.text}\0{question.answer}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
