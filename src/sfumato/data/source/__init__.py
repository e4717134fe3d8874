"""Find the cases in whatever a person has."""

from sfumato.data.source.discovered import DiscoveredDataset as DiscoveredDataset
from sfumato.data.source.discovered import ReadOptions as ReadOptions
from sfumato.data.source.find import find_cases as find_cases
