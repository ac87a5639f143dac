"""The notations of a report besides JSON in the OpenAPI document: a real example of each, and the parameters."""

from typing import Any

from gateway.domain.report import ReportKind
from gateway.flow.unpack import ADX, CSV, SDMX_CSV, SDMX_GENERIC, SDMX_ML_3, SDMX_SPECIFIC, XLSX

_CSV = """\
sector,received_total,received_online,received_offline,carried_over,resolved_total,resolved_early,resolved_on_time,\
resolved_late,pending_total,pending_in_time,pending_late
LAND,2400,2280,105,15,2375,1750,625,0,25,25,0
"""
_ADX = """\
<?xml version="1.0" encoding="UTF-8"?>
<adx xmlns="urn:ihe:qrph:adx:2015" exported="2026-09-20T09:00:00+07:00">
  <group dataSet="TTHC_06A" orgUnit="H26.18" period="2026-07-01/P3M">
    <dataValue dataElement="received_total" sector="LAND" value="2400"/>
    <dataValue dataElement="received_online" sector="LAND" value="2280"/>
  </group>
</adx>
"""
_SDMX_CSV = """\
STRUCTURE,STRUCTURE_ID,ACTION,FREQ,AGENCY,INDICATOR,SECTOR,TIME_PERIOD,OBS_VALUE
dataflow,VNGOV:TTHC_06A(1.0.0),I,Q,H26-18,received_total,LAND,2026-Q3,2400
dataflow,VNGOV:TTHC_06A(1.0.0),I,Q,H26-18,received_online,LAND,2026-Q3,2280
"""
_SCHEMAS = "http://www.sdmx.org/resources/sdmxml/schemas"
_DSD = "urn:sdmx:org.sdmx.infomodel.datastructure.DataStructure=VNGOV:TTHC_06A(1.0.0)"
_REF = '<Ref agencyID="VNGOV" id="TTHC_06A" version="1.0.0" class="DataStructure" package="datastructure"/>'


def _message(root: str, version: str, structure: str, data: str, space: str) -> str:
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<mes:{root} xmlns:mes="{_SCHEMAS}/{version}/message" xmlns:com="{_SCHEMAS}/{version}/common" {space}>
  <mes:Header><mes:ID>M1</mes:ID><mes:Test>false</mes:Test><mes:Prepared>2026-09-20T02:00:00Z</mes:Prepared>
    <mes:Sender id="H26"/>
    <mes:Structure structureID="S" dimensionAtObservation="TIME_PERIOD">
      <com:Structure>{structure}</com:Structure>
    </mes:Structure>
  </mes:Header>
  {data}
</mes:{root}>
"""


_GENERIC = _message(
    "GenericData",
    "v2_1",
    _REF,
    """<mes:DataSet structureRef="S" action="Information">
    <gen:Series>
      <gen:SeriesKey><gen:Value id="FREQ" value="Q"/><gen:Value id="AGENCY" value="H26-18"/>
        <gen:Value id="INDICATOR" value="received_total"/><gen:Value id="SECTOR" value="LAND"/></gen:SeriesKey>
      <gen:Obs><gen:ObsDimension value="2026-Q3"/><gen:ObsValue value="2400"/></gen:Obs>
    </gen:Series>
  </mes:DataSet>""",
    f'xmlns:gen="{_SCHEMAS}/v2_1/data/generic"',
)


def _specific(version: str, structure: str) -> str:
    return _message(
        "StructureSpecificData",
        version,
        structure,
        """<mes:DataSet ss:structureRef="S" ss:action="Information">
    <Series FREQ="Q" AGENCY="H26-18" INDICATOR="received_total" SECTOR="LAND">
      <Obs TIME_PERIOD="2026-Q3" OBS_VALUE="2400"/>
    </Series>
  </mes:DataSet>""",
        f'xmlns:ss="{_SCHEMAS}/{version}/data/structurespecific"',
    )


def _text(example: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "example": example}


FILE_BODIES: dict[str, Any] = {
    CSV: _text(_CSV),
    XLSX: {
        "schema": {"type": "string", "format": "binary"},
        "examples": {
            "template": {
                "summary": "The form's workbook, filled in",
                "externalValue": "/v1/forms/TTHC_06A/template.xlsx",
            }
        },
    },
    ADX: _text(_ADX),
    SDMX_CSV: _text(_SDMX_CSV),
    SDMX_GENERIC: _text(_GENERIC),
    SDMX_SPECIFIC: _text(_specific("v2_1", _REF)),
    SDMX_ML_3: _text(_specific("v3_0", _DSD)),
}


def _parameter(name: str, description: str, example: str | None = None, **schema: Any) -> dict[str, Any]:
    found = {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"Of a file; of JSON it may only repeat the body. {description}",
    }
    return found | {"schema": {"type": "string"} | schema} | ({} if example is None else {"example": example})


FILE_PARAMETERS: list[dict[str, Any]] = [
    _parameter("form", "The form's code, where the file does not say it.", "TTHC_06A"),
    _parameter("agency", "The agency, where the file does not say it.", "H26.18"),
    _parameter("period", "The period, where the file does not say it.", "2026-Q3"),
    _parameter("kind", "`own` if absent.", enum=[each.value for each in ReportKind]),
    _parameter("nil", "Why there are no rows.", enum=["nothing_to_report", "not_applicable"]),
    _parameter("explanations", "A JSON array, as in a report in JSON.", '[{"rule": "R6", "text": "Sáp nhập"}]'),
    _parameter("corrects", "The id of the current revision that this corrects.", format="uuid"),
    _parameter("reason", "Why it corrects.", maxLength=4000),
    _parameter("form_version", "The version in force on the period's last day if absent.", type="integer", minimum=1),
    _parameter("classification", "Anything but `none` is refused, and nothing of it is kept."),
    _parameter(
        "part", "Only this report of a file that has several, counted from 1.", type="integer", minimum=1, maximum=200
    ),
]
