"""Find the cases in whatever a person has."""

from sfumato.data.source.find import find_cases as find_cases
from sfumato.data.source.found import Found as Found
from sfumato.data.source.found import Hints as Hints
