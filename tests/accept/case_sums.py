"""08, and the kind around it: what a reversal took is what left the wallet, wherever it is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from fillip.figures import Figure, expect
from tests.live.running import make_tenant, wait_for

EXPIRES_AFTER_S = 12
BUY = {"type": "object", "properties": {"amount": {"type": "integer"}}}
LASTING = {"kind": "points", "value": 200, "currency": "STARS"}
CAMPAIGNS = {
    "fleeting": {"action": "BUY", "rewards": [{"kind": "points", "value": 200, "expires_after_s": EXPIRES_AFTER_S}]},
    "lasting": {"action": "VISIT", "rewards": [LASTING]},
}
SUMS = ("active", "spent", "expired", "reversed")


async def play_reversal_beyond_the_wallet(stack: Stack, folder: Path) -> list[Figure]:
    """08: 200 points of which 50 were spent and 150 expired, or all expired, or a floor kept 50: then the event is reversed."""
    key = make_tenant(stack, "sums")
    campaigns = {name: {"kind": "SIMPLE", "name": name, **rest} for name, rest in CAMPAIGNS.items()}
    with ApiClient(stack.doors.api, key) as client:
        client.put("/v1/points/STARS", {"name": "Stars", "floor": 0})
        define_actions(client, {"BUY": BUY, "VISIT": BUY})
        launch_campaigns(client, campaigns, [])
    async with httpx.AsyncClient(base_url=stack.doors.api, headers={"Authorization": f"Bearer {key}"}) as http:
        till = Till(http)
        spenders = [("spent", "BUY", "POINTS", 50), ("unspent", "BUY", "POINTS", 0), ("floored", "VISIT", "STARS", 50)]
        for user, action, currency, spent in spenders:
            await till.earn(user, action, currency)
            if spent:
                await till.post(f"/v1/users/{user}/wallets/{currency}/spends", {"spend_id": "s", "amount": spent})
        await wait_for("the expiry", till.see_expired, within_s=60)
        figures = []
        for user, _, currency, _ in spenders:
            figures += await till.reverse(user, currency)
        with ApiClient(stack.doors.analyse, key) as reports:
            figures.append(same("reports: reversed", {"POINTS": 50, "STARS": 150}, await read_report(reports)))
        return figures + await till.refund_in_pieces() + await till.return_lines()


class Till:
    """One tenant over HTTP."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, answer)."""
        answer = await self._http.post(path, json=body)
        return answer.status_code, answer.json()

    async def get(self, path: str) -> dict[str, Any] | None:
        """The answer, None for a 404."""
        answer = await self._http.get(path)
        return answer.json() if answer.status_code == 200 else None

    async def earn(self, user: str, action: str, currency: str) -> None:
        """An event of this user's, by the user's name, that earns 200 points."""
        event: dict[str, Any] = {"specversion": "1.0", "id": user, "source": "till", "type": action, "subject": user}
        event |= {"time": datetime.now(UTC).isoformat(), "data": {"amount": 1}}
        assert (await self.post("/v1/events", event))[0] == 202
        await wait_for("the points", lambda: self.get(f"/v1/users/{user}/wallets/{currency}"))

    async def see_expired(self) -> bool:
        """Whether all that expires has."""
        purses = [await self.get(f"/v1/users/{user}/wallets/POINTS") for user in ("spent", "unspent")]
        return all(purse and purse["active"] == 0 for purse in purses)

    async def take_back(self, name: str, event: str, **part: Any) -> dict[str, Any]:
        """A reversal with what came of it."""
        assert (await self.post("/v1/reversals", {"reversal_id": name, "event_id": event, **part}))[0] == 202
        return await wait_for("the reversal", lambda: self.get(f"/v1/reversals/{name}")) or {}

    async def reverse(self, user: str, currency: str) -> list[Figure]:
        """Reverse what this user earned: what everybody says of it."""
        wanted = {"spent": (50, 150), "unspent": (0, 200), "floored": (150, 50)}[user]
        (taken,) = (await self.take_back(f"r-{user}", user))["incentives"]
        purse = await self.get(f"/v1/users/{user}/wallets/{currency}") or {}
        (incentive,) = (await self.get(f"/v1/incentives?user_id={user}") or {})["items"]
        inbox = (await self.get(f"/v1/users/{user}/inbox") or {})["items"]
        return [
            same(f"{user}: reversal: value, short", wanted, (taken["value"], taken["short"])),
            same(f"{user}: wallet: reversed", wanted[0], purse["reversed"]),
            same(f"{user}: incentive: reversed_value", wanted[0], incentive["reversed_value"]),
            same(f"{user}: incentive: state", "reversed", incentive["state"]),
            same(f"{user}: inbox: entries", ["granted", "reversed"], [entry["kind"] for entry in inbox]),
        ]

    async def refund_in_pieces(self) -> list[Figure]:
        """60 are spent and come back in pieces; what is past its time is not in the balance that is told."""
        purse = "/v1/users/ada/wallets/POINTS"
        soon = (datetime.now(UTC) + timedelta(seconds=EXPIRES_AFTER_S)).isoformat()
        added = {"adjustment_id": "a1", "amount": 100, "reason": "case"}
        short_lived = {"adjustment_id": "a2", "amount": 50, "reason": "case", "expires_at": soon}
        for body in (added, short_lived):
            assert (await self.post(f"{purse}/adjustments", body))[0] == 201
        refused = await self.post(f"{purse}/adjustments", {"adjustment_id": "a3", "amount": -151, "reason": "case"})
        await self.post(f"{purse}/spends", {"spend_id": "early", "amount": 50})
        await self.post(f"{purse}/spends", {"spend_id": "s", "amount": 60})
        pieces: list[dict[str, Any]] = [
            {"amount": 20},
            {"amount": 20},
            {"refund_id": "r1", "amount": 41},
            {"refund_id": "r1", "amount": 40},
            {},
        ]
        answers = [await self.post(f"{purse}/spends/s/refund", piece) for piece in pieces]
        done = [(status, answer.get("amount")) for status, answer in answers]

        async def is_past() -> bool:
            return datetime.now(UTC).isoformat() > soon

        await wait_for("the lot's expiry", is_past)
        _, late = await self.post(f"{purse}/spends/early/refund", {})
        shown = await self.get(purse) or {}
        return [
            same("an adjustment of more than is there", 409, refused[0]),
            same("refunds of 60", [(201, 20), (200, 20), (409, None), (201, 40), (409, None)], done),
            same("balance told by the refund of a lot past its date", shown["active"], late["active_after"]),
            same("sums of that wallet", (100, 0, 50, 0), tuple(shown[name] for name in SUMS)),
        ]

    async def return_lines(self) -> list[Figure]:
        """Bought 2, returned 1, then 1, then one too many."""
        await self.earn("lines", "VISIT", "STARS")
        part = {"lines": [{"line": "sku-1", "amount": 500, "of": 1_000}], "of": 2_000}
        done = [await self.take_back(f"l{n}", "lines", **part) for n in range(3)]
        purse = await self.get("/v1/users/lines/wallets/STARS") or {}
        return [
            same("a line of two, returned thrice", ["applied", "applied", "line_already_reversed"],
                   [each["reason"] for each in done]),
            same("points left of 200", 100, purse["active"]),
        ]  # fmt: skip


def same(name: str, goal: object, got: object) -> Figure:
    """A figure that must be exactly `goal`, of whatever kind."""
    return expect(name, str(goal), str(got))


async def read_report(reports: ApiClient) -> dict[str, int]:
    """What reports say was reversed, by currency, once they say that anything was."""

    async def look() -> dict[str, int]:
        lines = reports.get("/v1/reports/campaign-days")["items"]
        found = {spend["currency"] or "POINTS": spend["reversed"] for line in lines for spend in line["spend"]}
        return found if found.keys() >= {"POINTS", "STARS"} and all(found.values()) else {}

    return await wait_for("the report", look, within_s=60)
