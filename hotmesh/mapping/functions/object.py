"""`{@object.…}`. Those that set something do it in place and give the object back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import (
    UNDEFINED,
    WrongType,
    is_nullish,
    is_object,
    kind,
    property_key,
    truthy,
)
from hotmesh.mapping.javascript import objects as own
from hotmesh.mapping.javascript.objects import Mark, Marks


def keys(o: Any = UNDEFINED) -> list[str]:
    return own.keys_of(o)


def values(o: Any = UNDEFINED) -> list[Any]:
    return [value for _, value in own.pairs_of(o)]


def entries(o: Any = UNDEFINED) -> list[list[Any]]:
    return [[key, value] for key, value in own.pairs_of(o)]


def from_entries(env: Env, pairs: Any) -> dict[str, Any]:
    if not isinstance(pairs, (list, str)):
        raise WrongType(f"this works on an array of pairs, not on {kind(pairs)}")
    result: dict[str, Any] = {}
    for pair in pairs:
        if not is_object(pair):
            raise WrongType(f"every element is a pair of key and value, not {kind(pair)}")
        result[property_key(own.member(pair, "0", env.marks))] = own.member(pair, "1", env.marks)
    return result


def assign(env: Env, target: Any = UNDEFINED, *sources: Any) -> Any:
    result = target
    if not is_object(target):
        # A scalar comes back boxed; what shows of the box is its units, if it is text.
        result = dict(own.pairs_of(target))
    for source in sources:
        for key, value in own.pairs_of(source):
            if isinstance(target, str) and target and own.attributes(target, key, None):
                raise WrongType("the units of a text can't be assigned to")
            own.assign(result, key, value, env.marks)
    return result


def get(env: Env, o: Any = UNDEFINED, k: Any = UNDEFINED) -> Any:
    return own.member(o, property_key(k), env.marks)


def set_(env: Env, o: Any = UNDEFINED, k: Any = UNDEFINED, v: Any = UNDEFINED) -> Any:
    target = o if truthy(o) else {}
    own.assign(target, property_key(k), v, env.marks)
    return target


def create(*keys_and_values: Any) -> dict[str, Any]:
    given = [*keys_and_values, UNDEFINED]
    return {property_key(given[place]): given[place + 1] for place in range(0, len(given) - 1, 2)}


def get_own_property_names(env: Env, o: Any = UNDEFINED) -> list[str]:
    return own.names_of(o, env.marks)


def get_own_property_symbols(o: Any = UNDEFINED) -> list[Any]:
    return []


def get_own_property_descriptor(env: Env, o: Any = UNDEFINED, k: Any = UNDEFINED) -> Any:
    key = property_key(k)
    attributes = own.attributes(o, key, env.marks)
    if attributes is None:
        return UNDEFINED
    return {"value": own.member(o, key, env.marks), **attributes._asdict()}


def _marks(env: Env) -> Marks:
    if env.marks is None:
        env.marks = {}
    return env.marks


def define_property(env: Env, o: Any, k: Any = UNDEFINED, d: Any = UNDEFINED) -> Any:
    own.define(o, property_key(k), d, _marks(env))
    return o


def define_properties(env: Env, o: Any, descriptors: Any = UNDEFINED) -> Any:
    if not isinstance(o, (dict, list)):
        raise WrongType(f"properties can be defined on objects and arrays, not on {kind(o)}")
    if is_nullish(descriptors):
        raise WrongType(f"the descriptors are an object, not {kind(descriptors)}")
    for key, descriptor in own.pairs_of(descriptors):
        own.define(o, key, descriptor, _marks(env))
    return o


def _mark(env: Env, o: Any, *, sealed: bool, frozen: bool) -> Any:
    if is_object(o):
        mark = _marks(env).setdefault(id(o), Mark(o))
        mark.extensible = False
        mark.sealed = mark.sealed or sealed
        mark.frozen = mark.frozen or frozen
    return o


def freeze(env: Env, o: Any = UNDEFINED) -> Any:
    return _mark(env, o, sealed=True, frozen=True)


def seal(env: Env, o: Any = UNDEFINED) -> Any:
    return _mark(env, o, sealed=True, frozen=False)


def prevent_extensions(env: Env, o: Any = UNDEFINED) -> Any:
    return _mark(env, o, sealed=False, frozen=False)


def is_frozen(env: Env, o: Any = UNDEFINED) -> bool:
    return own.is_fixed(o, env.marks, read_only=True)


def is_sealed(env: Env, o: Any = UNDEFINED) -> bool:
    return own.is_fixed(o, env.marks, read_only=False)


def is_extensible(env: Env, o: Any = UNDEFINED) -> bool:
    mark = env.marks.get(id(o)) if env.marks else None
    return is_object(o) and (mark is None or mark.extensible)


def _present(o: Any) -> Any:
    if is_nullish(o):
        raise WrongType(f"this works on an object, not on {kind(o)}")
    return o


def has_own_property(env: Env, o: Any, k: Any = UNDEFINED) -> bool:
    return own.attributes(_present(o), property_key(k), env.marks) is not None


def property_is_enumerable(env: Env, o: Any, k: Any = UNDEFINED) -> bool:
    attributes = own.attributes(_present(o), property_key(k), env.marks)
    return attributes is not None and attributes.enumerable


def is_prototype_of(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """Never: data have no prototypes of their own."""
    if is_object(b):
        _present(a)
    return False


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "assign": assign,
    "create": create,
    "defineProperties": define_properties,
    "defineProperty": define_property,
    "entries": entries,
    "freeze": freeze,
    "fromEntries": from_entries,
    "get": get,
    "getOwnPropertyDescriptor": get_own_property_descriptor,
    "getOwnPropertyNames": get_own_property_names,
    "getOwnPropertySymbols": get_own_property_symbols,
    "hasOwnProperty": has_own_property,
    "isExtensible": is_extensible,
    "isFrozen": is_frozen,
    "isPrototypeOf": is_prototype_of,
    "isSealed": is_sealed,
    "keys": keys,
    "preventExtensions": prevent_extensions,
    "propertyIsEnumerable": property_is_enumerable,
    "seal": seal,
    "set": set_,
    "values": values,
}
