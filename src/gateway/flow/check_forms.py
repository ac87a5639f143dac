"""Check forms beside the others there are: what their rules and formulas read must be there, and add up."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from gateway.domain.catalogue import Catalogue
from gateway.domain.form import CompiledRule, Form
from gateway.domain.form_document import Combine
from gateway.domain.rules import Kind
from gateway.errors import Place, Text


@dataclass(frozen=True, slots=True)
class NewForm:
    """A form version that comes, and where from."""

    source: str
    form: Form


def form_faults(current: Catalogue, new: Sequence[NewForm], coming: Set[str]) -> Iterator[Place]:
    """What is wrong with new form versions, and with the rules of other forms once these are there.

    ``coming`` are the codes of all forms that come, faulty ones included, which are no fault of those that read them.
    """
    forms = {code: {each.version: each for each in versions} for code, versions in current.forms.items()}
    sources: dict[str, str] = {}
    for each in new:
        forms.setdefault(each.form.code, {})[each.form.version] = each.form
        sources[each.form.code] = each.source
    faulty = coming - sources.keys()
    for each in new:
        for index, rule in enumerate(each.form.rules):
            for code, message in _reading_faults(forms, each.form, rule):
                if code not in faulty:
                    yield Place(f"{each.source}/rules/{index}/check", message)
        for index, message in _formula_faults(each.form):
            yield Place(f"{each.source}/indicators/{index}/formula", message)
    arrived = {(each.form.code, each.form.version) for each in new}
    for reader in (form for versions in forms.values() for form in versions.values()):
        if (reader.code, reader.version) in arrived or not reader.forms_read & sources.keys():
            continue
        for rule in reader.rules:
            for code, message in _reading_faults(forms, reader, rule):
                if code in sources:
                    yield Place(sources[code], _told_of(reader, rule, message))


def _told_of(reader: Form, rule: CompiledRule, message: Text) -> Text:
    name = rule.document.id
    return Text(
        f"Quy tắc {name} của biểu {reader.code} (phiên bản {reader.version}) đọc biểu này. {message.vi}",
        f"Rule {name} of form {reader.code} (version {reader.version}) reads this form. {message.en}",
    )


def _reading_faults(
    forms: Mapping[str, Mapping[int, Form]], reader: Form, rule: CompiledRule
) -> Iterator[tuple[str, Text]]:
    """What a rule reads of other forms that it cannot, with the code of the form."""
    for code in sorted(rule.check.forms_read):
        versions = list(forms.get(code, {}).values())
        if not versions:
            yield code, Text(f"Không có biểu mẫu {code}.", f"There is no form {code}.")
            continue
        rows = {_rows(form) for form in versions}
        if code in rule.check.forms_read_by_row and rows != {_rows(reader)}:
            yield (
                code,
                Text(
                    f"Biểu {code} có phân tổ khác nên không so được từng dòng; hãy dùng total(…).",
                    f"Form {code} has other breakdowns, so that rows cannot be compared; use total(…).",
                ),
            )
        for name in sorted(name for other, name in rule.check.references if other == code):
            kinds = {form.columns[name].kind for form in versions if name in form.columns}
            if not kinds:
                yield code, Text(f"Biểu {code} không có chỉ tiêu {name}.", f"Form {code} has no indicator {name}.")
            elif kinds != {Kind.number}:
                yield (
                    code,
                    Text(f"Chỉ tiêu {code}.{name} không phải là số.", f"Indicator {code}.{name} is not a number."),
                )


def _rows(form: Form) -> tuple[tuple[str, str], ...]:
    """What tells the rows of a form apart."""
    return tuple((each.id, each.codelist) for each in form.breakdowns)


def _formula_faults(form: Form) -> Iterator[tuple[int, Text]]:
    """Formulas over something of which an operand is left null there, so that they could give nothing either."""
    indicators = {each.id: each for each in form.indicators}
    for index, indicator in enumerate(form.indicators):
        formula = form.formulas.get(indicator.id)
        if formula is None:
            continue
        operands = [indicators[name] for name in sorted(formula.operands)]
        for over, is_formula, lost in (
            (
                "over_agencies",
                indicator.over_agencies is Combine.formula,
                [each.id for each in operands if each.over_agencies is Combine.none],
            ),
            (
                "over_time",
                indicator.over_time is Combine.formula,
                [each.id for each in operands if each.over_time is Combine.none],
            ),
        ):
            if is_formula and lost:
                names = ", ".join(lost)
                yield (
                    index,
                    Text(
                        f"Công thức luôn để trống khi tổng hợp: {over} của {names} là none.",
                        f"The formula would be null in every combined row: {over} of {names} is none.",
                    ),
                )
