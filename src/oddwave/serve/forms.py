"""Forms of the answers, for the OpenAPI document; a test holds the service to them, key by key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from oddwave.config import Scoring

Time = int | float | str
LogId = Annotated[str, Meta(description="Identifies the request in the service's log: a UUID.")]


class Error(Struct):
    """Every answer with a status of 400 or above, whatever the path."""

    logId: LogId  # noqa: N815
    errorCode: Annotated[int, Meta(description="The HTTP status again.")]  # noqa: N815
    errorMsg: Annotated[str, Meta(description="What is wrong, and what to do about it.")]  # noqa: N815


class LabelledCsv(Struct):
    """What the tutorial's route returns."""

    csv: Annotated[
        str, Meta(description="In base64: a CSV with the columns time (called as in the input), label and score.")
    ]


class InferAnswer(Struct):
    """An answer to the tutorial's clients."""

    logId: LogId  # noqa: N815
    errorCode: Annotated[Literal[0], Meta(description="Always 0.")]  # noqa: N815
    errorMsg: Annotated[Literal["Success"], Meta(description="Always Success.")]  # noqa: N815
    result: LabelledCsv


class Share(Struct):
    """A channel's part in an event."""

    channel: str
    share: Annotated[float, Meta(description="Of the event's score, between 0 and 1.")]


class Event(Struct):
    """A run of anomalous rows."""

    start: Annotated[Time, Meta(description="Time of the first row.")]
    end: Annotated[Time, Meta(description="Time of the last row.")]
    duration: Annotated[float, Meta(description="From start to end, in seconds or in units of the times.")]
    peak: Annotated[Time, Meta(description="Time of the row with the highest score.")]
    peak_score: float
    start_row: Annotated[int, Meta(description="Number of the first row in time order, from 0.")]
    end_row: Annotated[int, Meta(description="Number of the last row.")]
    rows: Annotated[int, Meta(description="How many rows, from the first to the last.")]
    channels: Annotated[list[Share], Meta(description="The up to three that contribute most, largest share first.")]


class Rows(Struct):
    """All rows in the order they were sent, one list a column."""

    time: Annotated[list[Time], Meta(description="As it was sent, or the rows' numbers.")]
    label: Annotated[list[Literal[0, 1] | None], Meta(description="1 anomalous, 0 normal; null: not scored.")]
    score: Annotated[list[float | None], Meta(description="How anomalous; higher is worse; null: not scored.")]
    reason: Annotated[
        list[str | None] | UnsetType, Meta(description="Why a row has no score; absent if all rows have one.")
    ] = UNSET
    contribution: Annotated[
        dict[str, list[float | None]] | UnsetType,
        Meta(description="Each channel's share of each score, if the setting `contributions` asks for it."),
    ] = UNSET


class DetectAnswer(Struct):
    """Labels, scores and events of a series."""

    logId: LogId  # noqa: N815
    model: Annotated[str, Meta(description="The detector that was used.")]
    scoring: Scoring
    threshold: Annotated[float, Meta(description="The score above which a row is anomalous.")]
    time_name: Annotated[str, Meta(description="What the times are called in the input.")]
    rows: Rows
    events: Annotated[list[Event], Meta(description="In time order.")]
    notes: Annotated[list[str], Meta(description="What was done to the data: filled, left aside, sorted.")]


class Thresholds(Struct):
    """The score above which a row is anomalous, for both ways to score."""

    full: float
    causal: float


class Model(Struct):
    """A detector: what it reads and how it labels."""

    name: Annotated[str, Meta(description="As requests name it.")]
    model: Annotated[str, Meta(description="Which model was trained, as DLinear_ad.")]
    channels: Annotated[list[str], Meta(description="What it reads, in its order.")]
    window: Annotated[int, Meta(description="Rows that it reads at once, the fewest of a series.")]
    stride: Annotated[int, Meta(description="Rows from one window's start to the next.")]
    threshold: Thresholds


class Models(Struct):
    """All detectors that are served."""

    default: Annotated[str, Meta(description="The one that is used if a request names none.")]
    models: list[Model]


class Server(Struct):
    """The server, as the protocol describes it."""

    name: str
    version: str
    extensions: list[str]


class TensorType(Struct):
    """A tensor that a detector reads or returns."""

    name: str
    datatype: str
    shape: Annotated[list[int], Meta(description="-1: any number of rows.")]


class ModelMetadata(Struct):
    """A detector, as the protocol describes it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorType]
    outputs: list[TensorType]


class ModelReady(Struct):
    """A detector that can be asked."""

    name: str
    ready: bool


class OutputTensor(Struct):
    """A tensor that comes back."""

    name: Annotated[str, Meta(description="`score`, `label` (-1: not scored) or `contribution`.")]
    datatype: str
    shape: list[int]
    data: Annotated[
        list[float | None] | UnsetType, Meta(description="The numbers, flat; absent if they follow the JSON as bytes.")
    ] = UNSET
    parameters: Annotated[
        dict[str, Any] | UnsetType, Meta(description="`binary_data_size`, the bytes that follow.")
    ] = UNSET


class TensorAnswer(Struct):
    """Scores and labels as tensors."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: Annotated[str | UnsetType, Meta(description="As it was sent.")] = UNSET


class Health(Struct):
    """The process lives."""

    status: Literal["ok"]
    version: str


class Ready(Struct):
    """Requests are welcome."""

    status: Literal["ready"]
    models: Annotated[list[str], Meta(description="The detectors that are served.")]
