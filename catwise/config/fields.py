"""Define what the sections of params.yaml have in common: the types of their values."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Count",
    "NonNegative",
    "Population",
    "Positive",
    "Precision",
    "Section",
    "Seed",
    "Seeds",
    "Share",
    "Whole",
]

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[int, Field(ge=2)]  # a number of them, for a result that has an interval
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Population = Annotated[int, Field(ge=8, multiple_of=4)]
Precision = Literal["auto", "float32", "tf32", "bfloat16"]


class Section(BaseModel):
    """Hold a mapping in which every key is expected, present, of its type, finite and in range."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
