"""JSON → frozen dataclasses, by their annotations. A field that is new to this version of the client is passed over."""

import json
import types
from dataclasses import MISSING, fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from clpips_client.errors import ClpipsError
from clpips_client.steps import Answer

T = TypeVar("T")


def read(shape: type[T], answer: Answer, **beside: Any) -> T:
    """The reply in an answer's body; `beside` are fields that the client adds. Raises `ClpipsError`."""
    try:
        return _object(shape, json.loads(answer.content), beside)
    except (ValueError, KeyError, TypeError) as error:
        raise ClpipsError(
            f"the answer is no {shape.__name__} ({error!r}): is this the address of a CLPIPS service?"
        ) from error


def _object(shape: type[T], told: Any, beside: dict[str, Any]) -> T:
    values = dict(beside)
    hints = _hints(shape)  # type: ignore[arg-type]  # a class is hashable
    for field in fields(shape):  # type: ignore[arg-type]  # T is a dataclass
        if field.name in told:
            values[field.name] = _value(hints[field.name], told[field.name])
        elif field.name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(field.name)
    return shape(**values)


@cache
def _hints(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape)


def _value(shape: Any, told: Any) -> Any:
    if get_origin(shape) in (Union, types.UnionType):
        if told is None:
            return None
        (shape,) = (one for one in get_args(shape) if one is not type(None))
    if get_origin(shape) is tuple:
        return tuple(_value(get_args(shape)[0], one) for one in told)
    if get_origin(shape) is dict:
        return dict(told)
    if shape is datetime:
        return datetime.fromisoformat(told.replace("Z", "+00:00"))  # Python 3.10 does not know the Z
    if isinstance(shape, type) and hasattr(shape, "__dataclass_fields__"):
        return _object(shape, told, {})
    return shape(told) if shape in (int, float, str, bool) else told
