"""The state machine among events at and beyond every bound: what the doors refuse changes nothing, the rest is decided."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.oracle.catalogue import NOON
from tests.oracle.machine import Machine
from tests.oracle.said import name_event, name_till

USERS = ["𝄞" * 64, "é" * 128, "é" * 129, "..", "a/b:c,d", "\u202enna", "ann"]
SHOPS = ["𝄞" * 64, "𝄞" * 64 + "a", "x" * 256, "x" * 257, "", "'\\", "\ufeff", "a\0b", None, "x"]
AMOUNTS = [2**63 - 1, 2**63 - 50, -(2**63), -1, 0, 99, 100, 2**53 + 1]
INSTANTS = ["0001-01-01T00:00:00+00:00", "1969-12-31T23:59:59.999999+00:00", "1970-01-01T00:00:00+00:00",
            "1970-01-01T00:00:00+14:00", "9998-12-31T23:59:59.999999+00:00", "9999-01-01T00:00:00+00:00",
            "2036-03-09T02:30:00-05:00", "2036-03-02T04:59:59.999999+00:00", "2036-03-02T04:59:59.9999999+00:00",
            "9998-12-31T23:59:59.9999999+00:00", *[NOON.isoformat()] * 4]  # fmt: skip
IDS = ["{}", "{}", "{}", "{}" + "𝄞" * 63, "{}" + "x" * 256, "{}/..%2F"]
EXTREMES = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(["BUY", "BUY", "JOIN"]),
    st.sampled_from(AMOUNTS),
    st.sampled_from(SHOPS),
    st.sampled_from(INSTANTS),
    st.sampled_from(IDS),
)


class ExtremeMachine(Machine):
    """Beside all else, events that are as large, as early or as late as can be, and larger, earlier and later."""

    @rule(burst=st.lists(EXTREMES, min_size=1, max_size=4), partition=st.integers(0, 1))
    def produce_extremes(self, burst: list[tuple[str, str, int, str | None, str, str]], partition: int) -> None:
        for user, action, amount, shop, at, name in burst:
            data = {"amount": amount, "rate": amount / 100, "shop": shop} if action == "BUY" else {}
            event: dict[str, Any] = {"type": action, "subject": user, "time": at, "data": data}
            event |= {"specversion": "1.0", "source": name_till(len(self.sent)), "tenantid": self.shop.tenant_id}
            self._send(partition, event | {"id": name.format(name_event(len(self.sent)))})
