"""What a statistician does with pysdmx, in a process of its own: a job comes in, what was read goes out."""

import contextlib
import io
import json
import sys
import warnings
from typing import Any

from pysdmx import errors
from pysdmx.api.dc.pd import PandasConnector
from pysdmx.api.dc.rest import SdmxConnector
from pysdmx.api.fmr import RegistryClient
from pysdmx.io import read_sdmx

warnings.simplefilter("ignore")  # these interfaces call themselves experimental
job = json.load(sys.stdin)
URL, FLOW = f"{job['url']}/sdmx/v2", "VNGOV:TTHC_06A(1.0.0)"
COLUMNS = ["FREQ", "AGENCY", "INDICATOR", "SECTOR", "TIME_PERIOD", "OBS_VALUE"]


def figures(rows: Any) -> list[list[str]]:
    return [[row[name] for name in COLUMNS] for row in rows]


def frame(found: Any) -> list[list[str]]:
    return [[str(value) for value in row] for row in found.reset_index(drop=False)[COLUMNS].itertuples(index=False)]


def refusal(call: Any) -> str:
    try:
        call()
    except errors.PysdmxError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def ran(code: str) -> str:
    """What a piece of the documentation prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})  # noqa: S102 - the documentation, as a reader types it
    return said.getvalue()


connector, pandas, registry = SdmxConnector(URL), PandasConnector(URL), RegistryClient(URL)
components: Any = connector.dataflow(FLOW).components
schema = registry.get_schema("dataflow", "VNGOV", "TTHC_06A", "1.0.0")
old = job["url"] + "/sdmx/v1"
answer: dict[str, Any] = {
    "flows": sorted(each.id for each in connector.dataflows()),
    "components": [each.id for each in components],
    "agency": components["AGENCY"].enumeration["H26-18"].name,
    "all": figures(connector.data(FLOW)),
    "filtered": figures(
        connector.data(FLOW, "AGENCY='H26' AND INDICATOR='received_total' AND SECTOR='_T' AND TIME_PERIOD>='2098-Q2'")
    ),
    "between": figures(
        connector.data(
            FLOW,
            "AGENCY IN ('H26','H29') AND INDICATOR='received_total' AND SECTOR='_T'"
            " AND TIME_PERIOD BETWEEN '2098-Q1' AND '2098-Q1'",
        )
    ),
    "like": sorted({row["AGENCY"] for row in connector.data(FLOW, "AGENCY LIKE 'H26%'")}),
    "pandas": frame(pandas.data(FLOW, infer_index=False)),
    "labels": pandas.data(FLOW, "AGENCY='H26-18'", labels="name", infer_index=False)["AGENCY"].iloc[0],
    "empty": list(connector.data(FLOW, "AGENCY='H30'")),
    "pandas_empty": refusal(lambda: pandas.data(FLOW, "AGENCY='H30'")),
    "unknown_flow": refusal(lambda: list(connector.data("VNGOV:NOTHING(1.0.0)"))),
    "refused": refusal(SdmxConnector(URL.replace(job["secret"], "wrong")).dataflows),
    "registry_flows": sorted(each.id for each in registry.get_dataflows()),
    "codes": len(registry.get_codes("VNGOV", "CL_AGENCY")),
    "structures": sorted(each.id for each in registry.get_data_structures()),
    "schema": [each.id for each in schema.components],
    "concepts": len(registry.get_concepts("VNGOV", "TTHC_06A")),
    "details": len(registry.get_dataflow_details("VNGOV", "TTHC_06A").components),
    "agencies": [each.id for each in registry.get_agencies("VNGOV")],
    "categories": [each.id for each in registry.get_categories("VNGOV", "REGIMES")],
    "read": [
        type(read_sdmx(f"{URL}/{path}", validate=True)).__name__
        for path in ("data/*/VNGOV/TTHC_06A/+", "structure/dataflow/VNGOV/TTHC_06A?references=descendants")
    ],
    "read_error": refusal(lambda: read_sdmx(f"{old}/data/NOTHING")),
    "documented": ran(job["documented"]),
}
json.dump(answer, sys.stdout)
