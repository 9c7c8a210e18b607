"""Tables 2, 3 and 4: QMIX and QMIXs on the matrix game, values and Boltzmann policies, compared with the paper's."""

from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.common.arguments import out_file
from experiments.common.files import read_csv, write_csv, write_json, write_text
from experiments.figures.spec import parser
from experiments.figures.store import number
from experiments.runs.directory import software_versions
from experiments.training.time_estimates import UPDATES_PER_SECOND

SUMMARY = "Tables 2 to 4: QMIX and QMIXs on the matrix game, compared with the paper's numbers."
SEEDS, STEPS = 3, 20_000


def command(argv: Sequence[str]) -> int:
    """Trains both methods, prints the tables and writes their numbers. Returns the exit code."""
    options = parser(argv[0], SUMMARY)
    to_write, default = out_file(parents=True), "results/iac/tables.csv"
    options.add_argument("--out", type=to_write, default=default, help="numbers to write (default: %(default)s)")
    args = options.parse_args(argv)
    out, text = args.out, args.out.with_suffix(".txt")
    if args.redraw:
        if not (read_csv(out) and text.exists()):
            raise ConfigError(f"nothing is saved in {out}: train first, without --redraw")
        print(text.read_text(), end="")
        return 0
    from experiments.figures.iac import matrix_tables
    from experiments.training.runtime import describe_device

    seeds, steps = args.seeds or SEEDS, args.total_steps or STEPS
    hours = len(matrix_tables.METHODS) * seeds * steps / UPDATES_PER_SECOND["cpu"] / 3600
    print(f"{argv[0]}: 2 runs to train: about {hours:.2f} hours on a CPU, not resumable", flush=True)
    tables = matrix_tables.make(seeds, steps)
    rows = matrix_tables.rows(tables)
    printed = matrix_tables.text(tables).rstrip() + "\n"
    print(printed, end="")
    write_csv(out, [{k: number(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows])
    write_text(text, printed)
    made = software_versions(describe_device())
    write_json(out.with_suffix(".json"), {"command": "python -m experiments.reproduce " + " ".join(argv), **made})
    print(f"wrote {out}")
    return 0
