"""What to do with a demo that was left up."""

from fillip.app.up import Stack
from fillip_demo.sample import TENANT


def describe(stack: Stack, key: str) -> str:
    """URLs, the key, and commands to paste into another terminal."""
    api, reports = stack.doors.api, stack.doors.analyse
    ask = '  curl -s -H "$H"'
    return f"""
The demo is still up, in {stack.state_dir}. Ctrl-C stops it.

  API, with its documentation  {api}/docs
  WebSocket gateway            {stack.doors.gateway}/v1/stream
  reports                      {reports}/v1/reports/campaign-days

Look around as tenant {TENANT}, in another terminal:

  H="Authorization: Bearer {key}"
{ask} "{api}/v1/campaigns?limit=3"
{ask} "{api}/v1/users/h2337/inbox?limit=3"
{ask} "{api}/v1/limits/cashback-daily/usage?limit=3"
{ask} "{api}/v1/decisions?outcome=denied&limit=3"
{ask} "{api}/v1/decisions/DECISION_ID/explain"
{ask} "{reports}/v1/reports/campaign-days?campaign_id=cashback"
"""
