"""What the README's first command plays."""

import pathlib
import re

TEXT = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
POLICY = re.search(r"experiments\.record --pretrained (\w+)", TEXT)[1]  # tests that play a policy share its program
