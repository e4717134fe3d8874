"""What a file that a model made says about itself, in the fields that its format has for it.

    PNG     text chunks (Description, Disclaimer, Software, and what is needed to make it again); XMP with the IPTC's
            digital source type
    TIFF    ImageDescription (the same texts as JSON), Software, XMP
    NIfTI   intent_name (15 characters) and descrip (79 characters)
    DICOM   ImageType, SeriesDescription, SoftwareVersions, for a segmentation the algorithm of each segment

Only what is listed here is read back: whatever else a file holds, such as the name of a patient, is nobody's business.

Source: IPTC, Digital Source Type NewsCodes (cv.iptc.org/newscodes/digitalsourcetype), 2025.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal

OriginKind = Literal["synthetic", "derived", "predicted"]
"""Made of noise; made by a model from an image that exists; a mask or map that a model drew of an image."""

DESCRIPTION: dict[OriginKind, str] = {
    "synthetic": "AI-generated image: made of noise by a model, not taken of a patient.",
    "derived": "AI-altered image: a model made it from an image that exists, which may show a patient.",
    "predicted": "AI prediction: drawn by a model, reviewed by no person.",
}
DISCLAIMER = "For research. Not for diagnosis or treatment."

SOURCE_TYPE: dict[OriginKind, str] = {
    "synthetic": "trainedAlgorithmicMedia",
    "derived": "compositeWithTrainedAlgorithmicMedia",
}
"""The IPTC's words; there is none for a prediction."""

NEWSCODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

INTENT: dict[OriginKind, str] = {"synthetic": "AI synthetic", "derived": "AI derived", "predicted": "AI prediction"}
"""Kinds in 15 characters."""

XMP_KEY = "XML:com.adobe.xmp"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType="{}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)

DESCRIP = 79
"""Characters of a NIfTI description; a zero byte follows."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a file comes from.

    Attributes:
        kind: what it is.
        model: sha256 of the weights.
        recipe: of the model, in short.
        facts: what is needed besides to make it again, such as seed and class.
    """

    kind: OriginKind
    model: str
    recipe: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def software(self) -> str:
        """What wrote the file."""
        return f"sfumato {version('sfumato')}"

    def texts(self) -> dict[str, str]:
        """Texts of a PNG or TIFF."""
        said = {"Synthetic": "true"} if self.kind != "predicted" else {"Predicted": "true"}
        said |= {"Description": DESCRIPTION[self.kind], "Disclaimer": DISCLAIMER, "Software": self.software}
        said |= {"Model": self.model, "Recipe": self.recipe, **self.facts}
        code = SOURCE_TYPE.get(self.kind)
        return said if code is None else {**said, XMP_KEY: XMP.format(NEWSCODES + code)}

    def descrip(self) -> str:
        """The description of a NIfTI volume: the kind and, as far as there is room, model and program."""
        return f"{INTENT[self.kind]}, not reviewed; model {self.model[:16]}; {self.software}"[:DESCRIP]


_KEPT = (
    "Synthetic",
    "Predicted",
    "Description",
    "Disclaimer",
    "Software",
    "Model",
    "Recipe",
    "Seed",
    "Class",
    "Sampler",
    "Steps",
    "Grid",
    "Start",
    "Eta",
    "Order",
    "Alpha",
    "Churn",
    "Churn low",
    "Churn high",
    "Churn scale",
    "Path schedule",
    "Path scaling",
    "Guidance",
    "Guidance interval",
    "Guide",
    "Upsample",
    "Members",
    "Views",
    "Models",
    "Twin",
    "Postprocessing",
    "Noise",
    "Weight",
    "Seeds",
    "First",
    "Second",
    "Source",
    "Change",
    "Masks",
)
"""The keys of texts that are ours."""


def said_in_texts(texts: Mapping[str, object]) -> dict[str, str]:
    """Of the texts of any PNG or TIFF those that sfumato wrote; none where another program did."""
    if not str(texts.get("Software", "")).startswith("sfumato "):
        return {}
    return {key: str(texts[key]) for key in _KEPT if key in texts}


def source_type(content: bytes) -> str | None:
    """The IPTC's word for an image made by a model, where the XMP of any picture file has it."""
    found = (word for word in ("compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia"))
    return next((word for word in found if f"digitalsourcetype/{word}".encode() in content), None)
