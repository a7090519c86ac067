"""Whether a campaign's variants share out all of its users, and its rewards name variants that there are."""

from collections import Counter
from collections.abc import Iterator

from fillip.core.campaign.campaign import Campaign
from fillip.core.problem import Fault


def check_variants(campaign: Campaign) -> Iterator[Fault]:
    """All that is wrong with a campaign's variants, each at its JSON pointer."""
    variants = campaign.variants
    total, named = sum(each.percent for each in variants), Counter(each.variant_id for each in variants)
    if len(variants) == 1:
        yield Fault("/variants", "one variant leaves nothing to compare: give two or more, or none")
    elif variants and total != 100:
        yield Fault("/variants", f"their percentages come to {total}, not to 100")
    for index, variant in enumerate(variants):
        if named[variant.variant_id] > 1:
            yield Fault(f"/variants/{index}/variant_id", f"two variants are called '{variant.variant_id}'")
    for index, reward in enumerate(campaign.rewards):
        for place, variant_id in enumerate(reward.variants):
            if variant_id not in named:
                known = f"there are {', '.join(named)}" if named else "the campaign has none"
                yield Fault(f"/rewards/{index}/variants/{place}", f"unknown variant '{variant_id}': {known}")


def check_variants_change(before: Campaign, after: Campaign) -> list[Fault]:
    """What of a launched campaign's variants can't change: who is in which, and that something was promised."""
    if before.variants != after.variants:
        message = "a launched campaign keeps its variants and their percentages, or users would change sides: end it and make another"
        return [Fault("/variants", message)]
    emptied = [name for name, rewards in after.rewards_by_variant.items() if not rewards and before.list_rewards(name)]
    return [
        Fault("/rewards", f"variant '{name}' got something so far: it can't become a control of a launched campaign")
        for name in emptied
    ]
