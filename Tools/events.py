"""Reads TensorBoard event files as TensorBoard does, and prints what is in them.

    ./.libtorch-python Tools/events.py DIR [--images OUT]

DIR is the folder of one run; all its event files are read and joined. Printed for each curve: its
number of points, last step and last value; for each picture: number, last step and size. A file that
TensorBoard cannot read is an error. Needs the package tensorboard (pip install tensorboard).
"""

import argparse
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--images", type=pathlib.Path, help="write the last picture of each tag here")
    args = parser.parse_args()
    # 0: keep everything, where TensorBoard itself would thin out.
    sizes = {event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0}
    events = event_accumulator.EventAccumulator(args.folder, size_guidance=sizes)
    events.Reload()
    tags = events.Tags()
    if not tags["scalars"] and not tags["images"]:
        sys.exit(f"{args.folder}: no curves and no pictures")
    for tag in tags["scalars"]:
        points = events.Scalars(tag)
        last = points[-1]
        print(f"scalar  {tag:32} {len(points):5} points  step {last.step:6}  {last.value:.7g}")
        if len({point.step for point in points}) != len(points):
            sys.exit(f"{tag}: a step appears twice")
    for tag in tags["images"]:
        pictures = events.Images(tag)
        last = pictures[-1]
        print(f"image   {tag:32} {len(pictures):5} images  step {last.step:6}  "
              f"{last.width}x{last.height}, {len(last.encoded_image_string)} bytes")
        if args.images:
            args.images.mkdir(parents=True, exist_ok=True)
            name = tag.replace("/", "-") + ".png"
            (args.images / name).write_bytes(last.encoded_image_string)


if __name__ == "__main__":
    main()
