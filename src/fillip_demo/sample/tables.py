"""The rows of the shipped completejourney tables, as they stand in the files (completejourney/README.md)."""

import csv
import gzip
import io
from collections.abc import Iterator
from importlib.resources import files
from typing import Literal

Table = Literal["baskets", "campaigns", "coupons", "enrolments", "redemptions"]

FOLDER = files(__package__) / "completejourney"


def rows(table: Table) -> Iterator[list[str]]:
    """Yield each row of a table in file order, all columns as text, the header left out.

    baskets: second, household, store, basket, lines, sales_cents, coupon_disc_cents;
    campaigns: campaign, type, start day, end day; coupons: coupon, campaign; enrolments: campaign, household;
    redemptions: household, coupon, campaign, day.
    """
    name = "campaigns.csv" if table == "campaigns" else f"{table}.csv.gz"
    with (FOLDER / name).open("rb") as stored, gzip.open(stored) if name.endswith(".gz") else stored as raw:
        reader = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""))
        next(reader)
        yield from reader
