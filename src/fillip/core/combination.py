"""Cohorts that follow from others: who is in any of some, in all of some, and in none of some."""

from collections.abc import Mapping

from msgspec import Struct

from fillip.core.cohort import Members
from fillip.core.problem import Fault

MAX_NAMED = 20
"""Cohorts that one combination names."""
MAX_DEPTH = 3
"""Combinations that stand on each other."""
MAX_DEPENDENT = 20
"""Combinations that follow, directly or not, from one cohort: all of them are made anew when it changes."""


class Combination(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """In any of `any_of` (where there are such), in all of `all_of`, in none of `none_of`; the ids of cohorts.

    One of the first two names a cohort, so that nobody is in it who is in none.
    """

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    @property
    def named(self) -> frozenset[str]:
        """All cohorts that it follows from."""
        return frozenset((*self.any_of, *self.all_of, *self.none_of))

    def combine(self, members: Mapping[str, Members]) -> Members:
        """Who is in it, given the members of each cohort that it names."""
        wanted = [members[name] for name in self.all_of]
        if self.any_of:
            wanted.append(Members().union(*(members[name] for name in self.any_of)))
        return wanted[0].intersection(*wanted[1:]).difference(*(members[name] for name in self.none_of))


def check_combination(
    cohort_id: str, combination: Combination, others: Mapping[str, Combination | None]
) -> list[Fault]:
    """What is wrong with what a cohort is to follow from, `others` being all cohorts of the tenant, lists as None."""
    faults = []
    if not combination.any_of and not combination.all_of:
        faults.append(Fault("/combination", "name a cohort in any_of or in all_of: the others only narrow these"))
    if len(combination.named) > MAX_NAMED:
        faults.append(Fault("/combination", f"names more than {MAX_NAMED} cohorts"))
    for field in ("any_of", "all_of", "none_of"):
        for index, name in enumerate(getattr(combination, field)):
            if name == cohort_id or name not in others:
                what = "a cohort can't follow from itself" if name == cohort_id else f"there is no cohort {name}"
                faults.append(Fault(f"/combination/{field}/{index}", what))
    if faults:
        return faults
    graph = {**others, cohort_id: combination}
    depth = find_depth(cohort_id, graph)
    if depth is None:
        return [Fault("/combination", "the cohorts would follow from each other in a circle")]
    above = max((find_depth(name, graph) or 0 for name in list_dependents(cohort_id, graph)), default=depth)
    if above > MAX_DEPTH:
        faults.append(Fault("/combination", f"more than {MAX_DEPTH} combinations would stand on each other"))
    for name in sorted({cohort_id, *combination.named}):
        if len(list_dependents(name, graph)) > MAX_DEPENDENT:
            faults.append(
                Fault("/combination", f"more than {MAX_DEPENDENT} combinations would follow from cohort {name}")
            )
    return faults


def find_depth(cohort_id: str, graph: Mapping[str, Combination | None]) -> int | None:
    """How many combinations stand on each other up to a cohort, 0 for a list; None where there is a circle."""
    level, depth = {cohort_id}, 0
    while level := {name for each in level if (made := graph.get(each)) for name in made.named}:
        depth += 1
        if depth > len(graph):
            return None
    return depth


def list_dependents(cohort_id: str, graph: Mapping[str, Combination | None]) -> list[str]:
    """The combinations that follow from a cohort, each behind all that it follows from. There is no circle."""
    direct = {name: made.named for name, made in graph.items() if made}
    found, level = set[str](), {cohort_id}
    while level := {name for name, named in direct.items() if named & level} - found:
        found |= level
    return sorted(found, key=lambda name: (find_depth(name, graph) or 0, name))


def move_member(
    listed: Mapping[str, Members], graph: Mapping[str, Combination | None], into: int
) -> dict[str, Members]:
    """In which cohorts two users are once they are one, who has the number `into`, given in which either is (`listed`, of all cohorts):
    where a list has one of them, and by that in what follows from these.
    """
    after = {name: Members([into] if members else []) for name, members in listed.items() if not graph[name]}
    combined = {name: made for name, made in graph.items() if made}
    for name in sorted(combined, key=lambda name: find_depth(name, graph) or 0):
        after[name] = combined[name].combine(after)
    return after
