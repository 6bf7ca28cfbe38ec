"""The README's recipe for Spark, run in local mode, against one run of `latent score`.

    python3 -m venv spark && spark/bin/pip install pyspark        # and a JRE
    spark/bin/python Tools/spark_recipe.py MODEL DATA [--latent PATH]

DATA is a folder of enough files for several groups of 32. Exit code 1 when the lines are not the same,
byte for byte.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from pyspark.sql import SparkSession

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"


def recipe():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [found] = [block for block in blocks if "sparkContext" in block]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--latent", type=pathlib.Path, default=LATENT, help="the program")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "bin").mkdir()
        (folder / "bin" / "latent").symlink_to(args.latent.resolve())
        (folder / "model.safetensors").symlink_to(args.model.resolve())
        (folder / "inbox").symlink_to(args.data.resolve())
        os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
        os.chdir(folder)
        spark = SparkSession.builder.master("local[2]").appName("latent").getOrCreate()
        exec(recipe(), {"spark": spark})
        spark.stop()
        found = sorted(
            line for part in folder.glob("scores/part-*") for line in part.read_bytes().splitlines())
        whole = subprocess.run(
            "latent score -q --threads 1 -m model.safetensors inbox".split(), check=True,
            capture_output=True).stdout.splitlines()
        print(f"{len(whole)} lines of one run, {len(found)} of 8 parts: "
              f"{'the same' if found == sorted(whole) else 'NOT the same'}")
        os.chdir(ROOT)
        sys.exit(0 if found == sorted(whole) and whole else 1)


if __name__ == "__main__":
    main()
