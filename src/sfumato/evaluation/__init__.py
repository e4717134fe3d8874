"""From folders of masks and images to numbers with intervals, verdicts and what they rest on."""
