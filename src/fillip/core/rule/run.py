"""What compiled rules call: absorbed errors, presence, the budget of the folds."""

from collections.abc import Callable, Iterable, Sized
from typing import TypeVar

from fillip.core.rule.errors import BudgetSpentError
from fillip.core.schema.coerce import Unset

MAX_ITEMS = 10_000  # list items that one evaluation may go through, all folds together

_Item = TypeVar("_Item")
_Items = TypeVar("_Items", bound=Sized)


def is_set(value: object) -> bool:
    """has(): false for null, an empty list and an absent object."""
    return value is not None and not isinstance(value, Unset) and value != []


def spend(budget: list[int], items: _Items) -> _Items:
    """The same items, once their number is taken from the budget; raises BudgetSpentError below zero."""
    budget[0] -= len(items)
    if budget[0] < 0:
        raise BudgetSpentError(f"the rule goes through more than {MAX_ITEMS} list items: narrow its lists")
    return items


def absorb_and(left: Callable[[], bool], right: Callable[[], bool]) -> bool:
    """CEL's `&&`: false if either side is, whatever the other raises."""
    return absorb_all((left, right), lambda side: side())


def absorb_or(left: Callable[[], bool], right: Callable[[], bool]) -> bool:
    """CEL's `||`: true if either side is, whatever the other raises."""
    return absorb_any((left, right), lambda side: side())


def absorb_all(items: Iterable[_Item], test: Callable[[_Item], bool]) -> bool:
    """False if the test fails for any item; else the first error that was met, if any; else true."""
    return not _find(items, test, False)


def absorb_any(items: Iterable[_Item], test: Callable[[_Item], bool]) -> bool:
    """True if the test holds for any item; else the first error that was met, if any; else false."""
    return _find(items, test, True)


def _find(items: Iterable[_Item], test: Callable[[_Item], bool], wanted: bool) -> bool:
    first: Exception | None = None
    for item in items:
        try:
            if test(item) is wanted:
                return True
        except BudgetSpentError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a rule's operation raises is an error value of CEL
            first = first or error
    if first is not None:
        raise first
    return False
