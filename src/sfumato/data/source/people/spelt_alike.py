"""Patients whose names differ by case and spaces alone are one."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.data.source.people.persons import spelling

_SHOWN = 3
"""Patients that a line names."""


def with_patients_spelt_alike(found: DiscoveredDataset) -> DiscoveredDataset:
    """Patients whose names differ by case and spaces alone are one, by the spelling that most cases have."""
    counts = Counter(case.patient for case in found.cases if case.patient)
    spellings = defaultdict[str, list[str]](list)
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        spellings[spelling(name)].append(name)
    several = [names for names in spellings.values() if len(names) > 1]
    if not several:
        return found
    chosen = dict[str, str]()
    for names in several:
        chosen |= dict.fromkeys(names, names[0])
    cases = tuple(replace(case, patient=chosen.get(case.patient or "", case.patient)) for case in found.cases)
    shown = "; ".join(map(_all_of, several[:_SHOWN]))
    note = f"patients whose names differ by spaces or upper and lower case alone are one each: {len(several)} ({shown})"
    return found._replace(cases=cases, notes=(*found.notes, note))


def _all_of(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)
