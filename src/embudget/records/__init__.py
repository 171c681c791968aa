"""The configuration of a training run, its record, and records as a table.

Records are what all that is measured is kept as:

    config = RunConfig.read({"model": "smollm2-135m:8", ...}, "run")
    record = embudget.train(config, "pairs/", with_record=True)[1]
    record_row(record)["loss"], record.loss_error
"""

from embudget.records.config import (
    ALSO_SHOWN,
    MethodText,
    Pooling,
    RunConfig,
    Schedule,
    Yardstick,
    after_warmup,
    differing,
)
from embudget.records.groups import GroupScore, standard_error
from embudget.records.record import LUCK, Provenance, RunRecord, no_gain
from embudget.records.table import (
    COLUMNS,
    column_of,
    record_row,
    records_frame,
    rows_frame,
    write_records_csv,
    write_rows_csv,
)

__all__ = [
    "ALSO_SHOWN",
    "COLUMNS",
    "LUCK",
    "GroupScore",
    "MethodText",
    "Pooling",
    "Provenance",
    "RunConfig",
    "RunRecord",
    "Schedule",
    "Yardstick",
    "after_warmup",
    "column_of",
    "differing",
    "no_gain",
    "record_row",
    "records_frame",
    "rows_frame",
    "standard_error",
    "write_records_csv",
    "write_rows_csv",
]
