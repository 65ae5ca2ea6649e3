"""All that happens inside our stack: its own event stream, one file a host."""

from __future__ import annotations

from testbed.collectors.base import Collector, NotApplicable, Site


class Events(Collector):
    """The lines of JSON of `mptcp_stack.observe`: each burst, acknowledgement, loss and subflow."""

    name = "events"
    summary = "our stack's event stream: sent and received bursts, acknowledgements, losses, subflows"

    def require(self, site: Site) -> None:
        if not any(site.ours(place.name) for place in site.places):
            raise NotApplicable(f"stack {site.stack.name} is not ours: it has no event stream")

    def program_options(self, site: Site, host: str) -> list[str]:
        return ["--events", str(site.directory / self.program_file(host))]

    def program_file(self, host: str) -> str:
        return f"events-{host}.jsonl"
