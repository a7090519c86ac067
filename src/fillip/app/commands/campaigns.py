"""`fillip campaigns` and `fillip explain`: what a tenant's campaigns are, and why they gave something or nothing."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from msgspec import json

from fillip.app.commands.remote import USUAL_URL, AsJson, Key, Url, calling, name_path, say, show_rows
from fillip.client.api import ApiClient
from fillip.core.errors import Crash

campaigns = typer.Typer(help="Campaigns of a tenant, by the API.", no_args_is_help=True)
CampaignId = Annotated[str, typer.Argument(help="Which campaign.")]


@campaigns.command("list")
def list_campaigns(
    state: Annotated[str | None, typer.Option(help="Those in this state as of now, such as running.")] = None,
    kind: Annotated[str | None, typer.Option(help="SIMPLE or QUEST.")] = None,
    url: Url = USUAL_URL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """List the campaigns by id.

    Examples:

        fillip campaigns list

        fillip campaigns list --state running --json
    """
    with calling(url, key) as client:
        found = (
            {**each, "name": each["definition"]["name"]}
            for each in client.list("/v1/campaigns", state=state, kind=kind)
        )
        show_rows(found, ("campaign_id", "state", "version", "name"), as_json=as_json)


@campaigns.command("show")
def show_campaign(campaign_id: CampaignId, url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Show one campaign with its definition.

    Examples:

        fillip campaigns show coffee

        fillip campaigns show coffee --json | jq .definition > coffee.json
    """
    with calling(url, key) as client:
        found = client.get(name_path("campaigns", campaign_id))
    if as_json:
        say(found)
        return
    _tell_campaign(found)
    typer.echo(json.format(json.encode(found["definition"]), indent=2).decode())


@campaigns.command("launch")
def launch_campaign(campaign_id: CampaignId, url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Launch a draft, as it stands now; answered when it is in force.

    Example:

        fillip campaigns launch coffee
    """
    _move(campaign_id, "launch", url, key, as_json=as_json)


@campaigns.command("pause")
def pause_campaign(campaign_id: CampaignId, url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Pause a running campaign: what it would have granted meanwhile is denied for good.

    Example:

        fillip campaigns pause coffee
    """
    _move(campaign_id, "pause", url, key, as_json=as_json)


@campaigns.command("resume")
def resume_campaign(campaign_id: CampaignId, url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Go on with a campaign that is paused.

    Example:

        fillip campaigns resume coffee
    """
    _move(campaign_id, "resume", url, key, as_json=as_json)


def explain(
    event_id: Annotated[str | None, typer.Argument(help="An event, by the id that its sender gave it.")] = None,
    source: Annotated[str | None, typer.Option(help="Its source, where several have an event of this id.")] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Before this campaign only: its decision, or what the event would earn now.")
    ] = None,
    decision: Annotated[str | None, typer.Option(help="A decision by its id, instead of an event.")] = None,
    url: Url = USUAL_URL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Explain why an event was granted or denied something: each check, with the values that it read.

    With its source also of an event that nothing was decided on: what became of it, and of each campaign why it gave nothing.

    Examples:

        fillip explain order-7

        fillip explain order-7 --source /shop/till-7

        fillip explain order-7 --source /shop/till-7 --campaign big-baskets

        fillip explain --decision 6f1c1f6e-4f0a-8d2e-9b7c-0242ac120002 --json
    """
    if (event_id is None) == (decision is None):
        raise typer.BadParameter("name an event, or a decision with --decision")
    with calling(url, key) as client:
        for told in _explain(client, event_id, source, campaign, decision):
            if as_json:
                say(told)
            else:
                _tell_explanation(told)


def _explain(
    client: ApiClient, event_id: str | None, source: str | None, campaign: str | None, decision: str | None
) -> Iterator[dict[str, Any]]:
    """The explanations asked for: of an event without a decision its story; raises Crash where that needs its source."""
    if decision is not None:
        yield client.get(name_path("decisions", decision, "explain"))
    elif campaign is not None:
        yield client.get(name_path("campaigns", campaign, "explain"), event_id=event_id, event_source=source)
    else:
        decided = [each["decision_id"] for each in client.list("/v1/decisions", event_id=event_id, event_source=source)]
        if not decided and source is None:
            raise Crash(f"no campaign has decided on an event {event_id}: name its --source to see what became of it")
        if not decided:
            yield client.get(name_path("events", source or "", event_id or ""))
        for each in decided:
            yield client.get(name_path("decisions", each, "explain"))


def _move(campaign_id: str, order: str, url: str, key: str, *, as_json: bool) -> None:
    with calling(url, key) as client:
        moved = client.post(name_path("campaigns", campaign_id, order), headers={"If-Match": "*"})
    if as_json:
        say(moved)
    else:
        _tell_campaign(moved)


def _tell_campaign(campaign: dict[str, Any]) -> None:
    name = campaign["definition"]["name"]
    typer.echo(f"{campaign['campaign_id']} ({name}): {campaign['state']}, version {campaign['version']}")
    for warning in campaign["warnings"]:
        typer.echo(f"warning: {warning['at']}: {warning['message']}", err=True)


def _tell_explanation(told: dict[str, Any]) -> None:
    if "campaigns" in told:  # the story of an event, before each campaign that looks at it
        typer.echo(told["summary"])
        for each in told["campaigns"]["items"]:
            typer.echo(f"{each['campaign_id']}: {each['summary']}")
        return
    typer.echo(f"{told['campaign_id']}: {told['summary']}")
    for check in told["checks"]:
        typer.echo(f"  {'yes' if check['passed'] else 'no ':3}  {check['check']:9} {check['message']}")
