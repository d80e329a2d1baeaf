"""The command line's longer texts: what each command is for, by example."""

from __future__ import annotations

BARE = """\
Find anomalies in time series: every row gets a score and a label, and anomalous rows are joined into events.

commands (each with --help):
  oddwave check DATA         look at data before training; convert it to CSV, split it
  oddwave train DATA         train a detector on normal rows
  oddwave evaluate DATA      say how good a detector is, on labelled rows
  oddwave export RUN         take the detector of a training elsewhere
  oddwave predict DATA...    the same as the flags below, in short
  oddwave serve              answer requests over HTTP
  oddwave models             list the shipped detectors
  oddwave bench [DATA]       say how fast a detector is on this machine"""

BARE_EXAMPLE = """\
examples:
  oddwave --pipeline ts_ad --input ts_ad.csv --save_path output/
  oddwave --pipeline my_path/ts_ad.yaml --input data/ --format csv,xlsx,html --save_path output/
  oddwave --get_pipeline_config ts_ad --save_path my_path

exit status: 0 done; 2 something to mend on your side; 3 anomalies found (with --fail-on-anomaly);
70 a fault of Oddwave; 130 interrupted"""

PREDICT_EXAMPLE = """\
examples:
  oddwave predict new.csv --model runs/pump --save_path output/
  oddwave predict new.csv --model runs/pump --save_path picture.png
  cat new.csv | oddwave predict - --quiet --fail-on-anomaly || echo "look at the pump"
"""

CHECK_EXAMPLE = """\
examples:
  oddwave check normal.csv
  oddwave check data/ --convert --split 80/20
  oddwave check -c DLinear_ad -o Global.dataset_dir=data/ -o CheckDataset.split.enable=True
"""

BENCH_EXAMPLE = """\
examples:
  oddwave bench
  oddwave bench new.csv --model runs/pump
  oddwave bench --model PatchTST_ad --device gpu:0 > table.md
"""

TRAIN_EXAMPLE = """\
examples:
  oddwave train normal.csv --out runs/pump
  oddwave train normal.csv --model PatchTST_ad --false-alarms "1/week" --out runs/pump
  oddwave train hosts.parquet --group_col host --exclude "2026-03-01/2026-03-02 06:00"
  oddwave train -c DLinear_ad -o Global.dataset_dir=data/ -o Train.epochs_iters=10
"""

EVALUATE_EXAMPLE = """\
examples:
  oddwave evaluate labelled.csv --model runs/pump
  oddwave evaluate -c runs/pump/config.yaml -o Global.dataset_dir=data/
"""

EXPORT_EXAMPLE = """\
examples:
  oddwave export runs/pump --out pump.onnx
  oddwave export runs/pump --target c --out pump_c/
  oddwave predict new.csv --model pump.onnx
"""


SERVE_EXAMPLE = """\
examples:
  oddwave serve
  oddwave serve --model runs/pump --model PCA_ad --port 9000
  oddwave serve --model runs/ --host 0.0.0.0 --api-key-file keys.txt
  oddwave serve --api-key-file keys.txt --new-key dashboard
"""
