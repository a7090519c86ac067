"""What the reports say of themselves in their OpenAPI document, at /openapi.json of the analyse process."""

from typing import Any

import msgspec

from fillip.analyse.burn import LimitBurn, LimitHour
from fillip.analyse.funnel import QuestFunnel
from fillip.analyse.level import LevelDay
from fillip.analyse.liability import Liability, LiabilityExpiry, LiabilityMovement
from fillip.analyse.parameters import DEFAULT_LINES, MAX_LINES, MAX_TEXT
from fillip.analyse.query.query_http import FORMS, Query, QueryAnswer
from fillip.analyse.report import CampaignDay, CampaignVariant, RejectionDay, Watermark
from fillip.analyse.times import CampaignTimes
from fillip.analyse.uplift import Uplift
from fillip.analyse.uplift_http import DEFAULT_WINDOW_DAYS, MAX_WINDOW_DAYS
from fillip.core.problem import MEDIA_TYPE, Problem

DESCRIPTION = """The reports of Fillip, made from what was announced. Every key belongs to one tenant and sees that tenant
alone; it needs the scope `reports:read`, for SQL `facts:read`. Days are of the tenant's calendar, `from` and `to` included. A report is read page
by page: pass `next_cursor` as `cursor` until it is null. Errors are problems (RFC 9457)."""
_REF = "#/components/schemas/"


def describe_reports() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    described = (
        CampaignDay,
        CampaignVariant,
        RejectionDay,
        LevelDay,
        Liability,
        LiabilityMovement,
        LiabilityExpiry,
        QuestFunnel,
        CampaignTimes,
        LimitBurn,
        LimitHour,
        Uplift,
        Watermark,
        Query,
        QueryAnswer,
        Problem,
    )
    _, schemas = msgspec.json.schema_components(described, ref_template=f"{_REF}{{name}}")
    schemas["QueryAnswer"]["properties"]["rows"] = {"type": "array", "items": {"type": "object"}}
    for name in (
        "CampaignDay",
        "CampaignVariant",
        "RejectionDay",
        "LevelDay",
        "LiabilityMovement",
        "QuestFunnel",
        "LimitBurn",
        "LimitHour",
    ):
        schemas[f"{name}s"] = _describe_page(name)
    schemas["CampaignTimesPage"] = _describe_page("CampaignTimes")
    schemas["LiabilityExpiries"] = _describe_page("LiabilityExpiry")
    schemas["Liabilities"] = _describe_page("Liability")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fillip: reports", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/", "description": "Where this document is served"}],
        "paths": _describe_paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "ApiKey": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer fk_live_…`"}
            },
        },
    }


def describe_reports_at(base: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Paths and schemas of the reports for the document of the API, which says that they are served at `base`."""
    reports = describe_reports()
    servers = [{"url": base, "description": "The analyse process"}]
    paths = {path: {"servers": servers, **item} for path, item in reports["paths"].items()}
    return paths, reports["components"]["schemas"]


def _describe_paths() -> dict[str, Any]:
    days = [
        _describe_day("from", "The first day; all before where it is left out"),
        _describe_day("to", "The last day"),
    ]
    pages = [_LIMIT, _CURSOR]
    return {
        "/v1/reports/campaign-days": _describe_report(
            "Campaigns by day",
            "Issued, denied by reason, spend and unique users",
            "CampaignDays",
            [*days, *pages, _CAMPAIGN],
        ),
        "/v1/reports/campaign-variants": _describe_report(
            "A campaign by variant",
            "Users, grants, denied by reason and spend of each variant of one campaign, over all of the days",
            "CampaignVariants",
            [*days, {**_CAMPAIGN, "required": True, "description": "Which campaign"}],
        ),
        "/v1/reports/rejection-days": _describe_report(
            "Rejections by day",
            "Events that could not be decided, by reason and UTC day",
            "RejectionDays",
            [*days, *pages],
        ),
        "/v1/reports/liability": _describe_report(
            "Points outstanding",
            "What users hold at an instant, by currency, by all transfers made by then",
            "Liabilities",
            [_describe_instant("at", "The instant; all that is loaded where it is left out"), *pages],
        ),
        "/v1/reports/liability-expiries": _describe_report(
            "Points outstanding by expiry",
            "What users hold at an instant, by currency and by the month of the tenant's calendar in which it expires if nobody uses"
            " it; the lines of a currency add up to what is outstanding",
            "LiabilityExpiries",
            [_describe_instant("at", "The instant; now where it is left out"), *pages],
        ),
        "/v1/reports/liability-movements": _describe_report(
            "How points outstanding moved",
            "From one instant to another, by currency: opening, what came and went, closing",
            "LiabilityMovements",
            [
                _describe_instant("from", "What was made by then is the opening; nothing where it is left out"),
                _describe_instant("to", "What was made later is left out"),
                *pages,
            ],
        ),
        **_describe_ways(days, pages),
        **_describe_limits(pages),
        "/v1/reports/uplift": _describe_uplift(),
        "/v1/reports/watermark": _describe_report(
            "How far the reports are", "When the newest that they hold of the tenant was committed", "Watermark", []
        ),
        "/v1/reports/query": _describe_query(),
    }


def _describe_limits(pages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "/v1/reports/limit-burn": _describe_report(
            "How fast limits are used up",
            "Of limits that users share: what is used and remains in the window of now, the rates of the last day and week, and until"
            " when it lasts at them",
            "LimitBurns",
            pages,
        ),
        "/v1/reports/limit-hours": _describe_report(
            "A limit by hour",
            "What was used of one limit in each hour, by when it was committed, less what reversals gave back",
            "LimitHours",
            [
                _describe_parameter("limit_id", "Which limit", type="string", maxLength=MAX_TEXT, examples=["budget"])
                | {"required": True},
                _describe_parameter("key", "One key only, of a limit that is split", type="string", maxLength=MAX_TEXT),
                _describe_instant("from", "Hours that begin then or later"),
                _describe_instant("to", "And before this"),
                *pages,
            ],
        ),
    }


def _describe_ways(days: list[dict[str, Any]], pages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "/v1/reports/level-days": _describe_report(
            "Levels by day",
            "How often users rose and fell on the ladder of a currency, in all and from each level to each other",
            "LevelDays",
            [*days, *pages],
        ),
        "/v1/reports/campaign-times": _describe_report(
            "From event to claim",
            "How long each part of the way of incentives took, by campaign and UTC day of the grant",
            "CampaignTimesPage",
            [*days, *pages, _CAMPAIGN],
        ),
        "/v1/reports/quest-funnel": _describe_report(
            "A quest step by step",
            "How many instances begin, reach each step and finish, and how long that takes, by version of the quest",
            "QuestFunnels",
            [
                {**_CAMPAIGN, "required": True, "description": "Which quest"},
                _describe_instant("from", "Of instances that began then or later"),
                _describe_instant("to", "And before this"),
                *pages,
            ],
        ),
    }


def _describe_report(summary: str, description: str, schema: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "get": {
            "tags": ["reports"],
            "operationId": f"report{schema}",
            "summary": summary,
            "description": description,
            "security": [{"ApiKey": []}],
            "parameters": parameters,
            "responses": {"200": _describe_body("The report", schema, "application/json"), **_ERRORS},
        }
    }


def _describe_uplift() -> dict[str, Any]:
    described = _describe_report(
        "What a campaign brings",
        "Who was held out, of a control or offered the campaign: how many did an action after they first met it, and how much"
        " a user; each pair of groups compared with 95 % intervals. It is counted in your events, and takes a turn as a query"
        " does. A quest is refused: its groups are not recorded alike.",
        "Uplift",
        [
            _describe_day("from", "The first day on which the campaign was met; all before where it is left out"),
            _describe_day("to", "The last of these days"),
            {**_CAMPAIGN, "required": True, "description": "Which campaign"},
            _describe_parameter(
                "action", "What is to be brought about", type="string", maxLength=MAX_TEXT, examples=["PURCHASE"]
            )
            | {"required": True},
            _describe_parameter(
                "value", "The number in these events; only counted where it is left out", type="string", maxLength=MAX_TEXT,
                examples=["amount_cents", "order.total"],
            ),
            _describe_parameter(
                "window_days", "How long after a user met the campaign", type="integer", minimum=1,
                maximum=MAX_WINDOW_DAYS, default=DEFAULT_WINDOW_DAYS,
            ),
        ],
    )  # fmt: skip
    described["get"]["responses"]["422"] = _describe_body(
        "A parameter is unknown, repeated or wrong: `errors` names it; or it took more than a query may (query-stopped)",
        "Problem",
        MEDIA_TYPE,
    )
    return described


def _describe_query() -> dict[str, Any]:
    answer = _describe_body(
        "The rows", "QueryAnswer", "application/json",
        Fillip_Rows="integer", Fillip_Received_At="string", Fillip_Committed_At="string",
    )  # fmt: skip
    answer["content"] |= {
        media_type: {"schema": {"type": "string", "format": "binary"}}
        for media_type in FORMS
        if media_type != "application/json"
    }
    refusals = {
        "400": "The body is not JSON",
        "403": "The key lacks the scope facts:read",
        "406": "Answers are JSON, CSV or Parquet",
        "408": "The request did not come whole in time",
        "413": "The body is larger than 1 MiB",
        "415": "The body is not application/json",
        "422": "Not one SELECT over the views (invalid-query: `errors` has line:column), or it took more than it may"
        " (query-stopped)",
    }
    described = {status: _describe_body(told, "Problem", MEDIA_TYPE) for status, told in refusals.items()}
    return {
        "post": {
            "tags": ["queries"],
            "operationId": "queryFacts",
            "summary": "Ask by SQL",
            "description": "One SELECT in DuckDB's SQL over your own `events`, `decisions`, `incentives`,"
            " `incentive_reversals` and `rejections`. At most 10,000 rows, 16 MiB, 30 seconds and 512 MB of memory; one at"
            " a time, three more wait. `Accept` chooses JSON, CSV or Parquet. Needs the scope `facts:read`.",
            "security": [{"ApiKey": []}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": f"{_REF}Query"}}}},
            "responses": {"200": answer, **_ERRORS, **described},
        }
    }


def _describe_body(description: str, schema: str, media_type: str, **headers: str) -> dict[str, Any]:
    shown = {name.replace("_", "-"): {"schema": {"type": kind}} for name, kind in headers.items()}
    content = {media_type: {"schema": {"$ref": _REF + schema}}}
    return {
        "description": description,
        "content": content,
        "headers": shown | {"Trace-Id": {"schema": {"type": "string"}}},
    }


def _describe_page(line: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": {"$ref": _REF + line}},
            "next_cursor": {"type": ["string", "null"]},
        },
    }


def _describe_parameter(name: str, description: str, **schema: object) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _describe_day(name: str, description: str) -> dict[str, Any]:
    return _describe_parameter(name, description, type="string", format="date", examples=["2026-01-31"])


def _describe_instant(name: str, description: str) -> dict[str, Any]:
    return _describe_parameter(name, description, type="string", format="date-time", examples=["2026-01-31T23:00:00Z"])


_LIMIT = _describe_parameter(
    "limit", "Most lines of the page", type="integer", minimum=1, maximum=MAX_LINES, default=DEFAULT_LINES
)
_CURSOR = _describe_parameter("cursor", "`next_cursor` of the page before", type="string", maxLength=MAX_TEXT)
_CAMPAIGN = _describe_parameter(
    "campaign_id", "One campaign only", type="string", maxLength=MAX_TEXT, examples=["coffee"]
)
_ERRORS = {
    "401": _describe_body("No live API key", "Problem", MEDIA_TYPE, WWW_Authenticate="string"),
    "403": _describe_body("The key lacks the scope reports:read", "Problem", MEDIA_TYPE),
    "422": _describe_body("A parameter is unknown, repeated or wrong: `errors` names it", "Problem", MEDIA_TYPE),
    "429": _describe_body("More requests than the tenant's quota allows", "Problem", MEDIA_TYPE, Retry_After="integer"),
    "default": _describe_body("Another error", "Problem", MEDIA_TYPE),
    "503": _describe_body(
        "Something is away for a moment: send it again", "Problem", MEDIA_TYPE, Retry_After="integer"
    ),
}
