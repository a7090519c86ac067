"""What the guide lets a marketer say is taken as it stands there, and launched."""

import json
import re
from dataclasses import replace
from pathlib import Path

import httpx

from fillip.embedded.addresses import Addresses
from tests.manage.conftest import Plane
from tests.manage.event_log import open_event_log
from tests.manage.shop import ANY

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guide" / "sayings.md"
ITEM = {"type": "object", "properties": {"category": {"type": "string"}, "net_cents": {"type": "integer"}}}
SCHEMAS = {
    "PURCHASE": {
        "amount_cents": {"type": "integer"},
        "coupon": {"type": "string"},
        "items": {"type": "array", "items": ITEM | {"required": ["category", "net_cents"]}},
    },
    "VISIT": {"friend": {"type": "string"}},
}


def read_requests() -> list[tuple[str, str, object]]:
    """Method, path and body of each request of the page, in its order."""
    blocks = re.findall(r"^```\n(GET|POST|PUT) (\S+)\n(.*?)```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [(method, path, json.loads(body) if body.strip() else None) for method, path, body in blocks]


async def test_all_that_the_page_says_can_be_said(plane: Plane, acme: httpx.AsyncClient, servers: Addresses) -> None:
    for action, properties in SCHEMAS.items():
        schema = {"type": "object", "properties": properties}
        assert (await acme.put(f"/v1/actions/{action}", json={"schema": schema})).is_success
    requests = read_requests()
    assert len(requests) == GUIDE.read_text().count("```") // 2 >= 15
    async with open_event_log(plane.dsn, servers.kafka_bootstrap) as (log, _):
        plane.app.state.app_state = replace(plane.app.state.app_state, event_log=log)
        for method, path, body in requests:
            said = await acme.request(method, path, json=body, headers=ANY if method == "PUT" else None)
            assert said.is_success, f"{method} {path}: {said.text}"
            if path == "/v1/campaigns":
                launched = await acme.post(f"/v1/campaigns/{said.json()['campaign_id']}/launch", headers=ANY)
                assert launched.is_success, launched.text
