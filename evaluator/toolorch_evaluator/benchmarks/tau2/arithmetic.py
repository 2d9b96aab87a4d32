"""The `calculate` tool: what Python's own evaluation would answer, errors included, without evaluating code.

Only powers can make a short expression expensive, so integer results are bounded; v0.2.0 would compute them.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

# Past every float, so nothing that can be answered is refused; cheap to compute at any depth.
MAX_BITS = 20_000

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def calculate(self: object, expression: str) -> str:
    """Return the expression's value, rounded to cents; raises whatever the evaluation raises."""
    if not all(char in "0123456789+-*/(). " for char in expression):
        raise ValueError("Invalid characters in expression")
    if not isinstance(expression, str):  # models pass lists, and upstream's eval answers so
        raise TypeError("eval() arg 1 must be a string, bytes or code object")
    tree = ast.parse(expression.lstrip(" "), "<string>", "eval")
    return str(round(float(_value(tree.body)), 2))


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _combine(op, _value(left), _value(right))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_value(operand))
        case ast.Call(func=func):
            raise TypeError(f"{type(_value(func)).__name__!r} object is not callable")
        case _:
            return ()


def _combine(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Pow) and isinstance(left, int) and isinstance(right, int) and right > 0:
        _bound(left.bit_length() * right)
    result = _BINARY[type(op)](left, right)
    if isinstance(result, int):
        _bound(result.bit_length())
    return result


def _bound(bits: int) -> None:
    if bits > MAX_BITS:
        raise OverflowError("the result is too large")
