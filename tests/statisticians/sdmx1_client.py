"""What a statistician does with sdmx1, in a process of its own: a job comes in, what was read goes out."""

import contextlib
import io
import json
import sys
from typing import Any

import pandas as pd
import requests
import sdmx

job = json.load(sys.stdin)


def source(version: str, secret: str | None = None) -> sdmx.Client:
    address = job["url"].replace(job["secret"], secret or job["secret"])
    supports = {"preview": True, "structure-specific data": True, "availableconstraint": True}
    described: dict[str, Any] = {"id": "VNGOV", "name": "Reports", "url": f"{address}/sdmx/{version}"}
    described |= {"versions": ["3.0.0"]} if version == "v2" else {"supports": supports}
    sdmx.add_source(described, override=True)
    return sdmx.Client("VNGOV")


def figures(message: Any) -> list[list[str]]:
    """Every observation: key, period and value, by the names of the dimensions."""
    found = sdmx.to_pandas(message)
    if not isinstance(found, pd.Series) or found.empty:
        return []
    frame = found.rename("VALUE").reset_index()
    columns = ["FREQ", "AGENCY", "INDICATOR", "SECTOR", "TIME_PERIOD", "VALUE"]
    return [[str(value) for value in row] for row in frame[columns].itertuples(index=False)]


def status(call: Any) -> int:
    try:
        call()
    except requests.HTTPError as error:
        response: Any = error.response
        return int(response.status_code)
    except NotImplementedError:  # what the client makes of 501
        return 501
    return 200


def ran(code: str) -> str:
    """What a piece of the documentation prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})  # noqa: S102 - the documentation, as a reader types it
    return said.getvalue()


documented = ran(job["documented"])  # first: the source must be a new one
client = source("v1")
whole = client.dataflow("TTHC_06A")
structure = whole.structure["TTHC_06A"]
agencies = client.codelist("CL_AGENCY").codelist["CL_AGENCY"]
region = client.availableconstraint("TTHC_06A", key="Q.H26.").constraint["TTHC_06A-ACTUAL"].data_content_region[0]
specific = client.data("TTHC_06A", dsd=structure)
answer: dict[str, Any] = {
    "flows": sorted(client.dataflow().dataflow),
    "dimensions": [each.id for each in structure.dimensions.components],
    "attributes": [each.id for each in structure.attributes.components],
    "lists": sorted(whole.codelist),
    "names": dict(whole.dataflow["TTHC_06A"].name.localizations),
    "parent": agencies["H26-18"].parent.id,
    "concepts": len(client.conceptscheme("TTHC_06A").concept_scheme["TTHC_06A"]),
    "agencies": sorted(client.agencyscheme().organisation_scheme["AGENCIES"].items),
    "categorised": sorted(client.categoryscheme().categorisation),
    "constraints": sorted(client.contentconstraint("TTHC_06A").constraint),
    "structures": sorted(client.datastructure("KTXH_01").structure),
    "region": {
        each.id: sorted(str(getattr(value, "value", value)) for value in selection.values)
        for each, selection in region.member.items()
        if each.id != "TIME_PERIOD"
    },
    "all": figures(client.data("TTHC_06A")),
    "specific": figures(specific),
    "specific_type": specific.response.headers["content-type"],
    "keyed": figures(client.data("TTHC_06A", key="Q.H26+H29.received_total._T", params={"startPeriod": "2098-Q2"})),
    "by_name": figures(client.data("TTHC_06A", key={"AGENCY": ["H26", "H29"], "INDICATOR": "received_total"})),
    "last": figures(client.data("TTHC_06A", key="Q.H26.received_total._T", params={"lastNObservations": 1})),
    "preview": len(client.preview_data("TTHC_06A")),
    "empty": figures(client.data("TTHC_06A", key="W...")),
    "unknown_flow": status(lambda: client.data("NOTHING")),
    "unknown_structure": status(lambda: client.codelist("NOTHING")),
    "changed": figures(client.data("TTHC_06A", params={"updatedAfter": "2026-01-01T00:00:00"})),
    "documented": documented,
}
answer["refused"] = status(source("v1", "wrong").dataflow)
newer = source("v2")
answer["flows_3"] = sorted(newer.dataflow().dataflow)
answer["all_3"] = figures(newer.data("TTHC_06A"))
json.dump(answer, sys.stdout)
