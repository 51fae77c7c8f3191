"""What every model of the configuration has in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base: an unknown key is an error, values do not change after loading.

    `sparse` models are shown with the keys that were written only: the others come from elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    sparse: ClassVar[bool] = False
