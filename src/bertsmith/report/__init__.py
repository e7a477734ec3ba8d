"""What a run leaves behind for people: its log, its metrics, its report, its model card.

Names are taken from their modules, so that printing a table does not wait for plotting to load:

log         `RunLog` appends ``log.jsonl`` and TensorBoard events; `read_log`, `read_curves` read them
progress    `TrainingProgress`, the bar of a training run
metrics     `write_metrics` writes ``metrics.json``
record      `Report` and its parts: a run as plain data
classifier  what a classifier's answers add up to
html        `write_report` writes ``report.html``
card        `Card` and `render_card`: the checkpoint's ``README.md``
terminal    tables for the terminal
"""
