"""Check regimes beside the forms, agencies and other regimes that there will be."""

from collections.abc import Iterable, Mapping, Sequence

from gateway.db.catalogue import Entry
from gateway.domain.agency import Agencies
from gateway.domain.catalogue import Catalogue
from gateway.domain.form_document import FormDocument
from gateway.domain.overlap import frequencies_of, overlaps
from gateway.domain.regime import Regime, RegimeDocument, in_order
from gateway.errors import Place, Text


def regime_places(current: Catalogue, new: Sequence[tuple[str, Entry]], agencies: Agencies) -> list[Place]:
    """What is wrong with new regimes, each with its source; ``agencies`` are those that there will be."""
    sources: dict[str, str] = {}
    documents = {code: {each.document.valid_from: each for each in all_} for code, all_ in current.regimes.items()}
    forms = {code: {str(each.version): each.document for each in all_} for code, all_ in current.forms.items()}
    for source, entry in new:
        if entry.kind == "form":
            document = FormDocument.model_validate(entry.document)
            forms.setdefault(entry.code, {})[str(document.version)] = document
        if entry.kind == "regime":
            regime = Regime(RegimeDocument.model_validate(entry.document))
            documents.setdefault(regime.code, {})[regime.document.valid_from] = regime
            sources[regime.code] = source
    found = [
        Place(f"{sources[regime.code]}{place}", message)
        for code in sources
        for regime in documents[code].values()
        for place, message in _regime_faults(regime, forms, agencies)
    ]
    if not found:
        regimes = in_order({code: list(each.values()) for code, each in documents.items()})
        found = [Place(sources[code], message) for code in sources for message in overlaps(regimes, agencies, [code])]
    return found


def _regime_faults(
    regime: Regime, forms: Mapping[str, Mapping[str, FormDocument]], agencies: Agencies
) -> Iterable[tuple[str, Text]]:
    """What a regime names that is not there."""
    document = regime.document
    for index, code in enumerate(document.forms):
        if code not in forms:
            yield f"/forms/{index}", Text(f"Không có biểu mẫu {code}.", f"There is no form {code}.")
            continue
        known = {frequency for each in forms[code].values() for frequency in each.frequencies}
        strange = sorted(frequencies_of(regime) - known)
        if strange:
            names = ", ".join(strange)
            yield (
                f"/forms/{index}",
                Text(f"Biểu {code} không báo cáo theo kỳ: {names}.", f"Form {code} is not reported: {names}."),
            )
    named = [("/owner", document.owner), ("/receiver", document.receiver)]
    for index, duty in enumerate(document.who):
        named += [(f"/who/{index}/under", duty.under)]
        named += [(f"/who/{index}/agencies/{place}", code) for place, code in enumerate(duty.agencies or ())]
    for place, agency in named:
        if agency is not None and agency not in agencies:
            yield place, Text(f"Không có cơ quan {agency}.", f"There is no agency {agency}.")
