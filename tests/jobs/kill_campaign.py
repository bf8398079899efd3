"""SIGKILL at random moments of a short `align` job of each method; every resumed run must equal the uninterrupted one.

`make soak` runs it. By hand (THALWEG_BUILD names the build folder):
.deps/venv/bin/python tests/jobs/kill_campaign.py [--kills 50] [--saves 15]
Moments are uniform over the whole run; of the --saves kills, each comes within the time that a save takes, after a
save began. Exit code 1 when a run differs.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "reference"), str(pathlib.Path(__file__).resolve().parent)]

import resuming  # noqa: E402


def campaign(files, method, kills, saves, draw, wrapper):
    job = resuming.short_job(files, method)
    whole = files / method / "whole" / "run"
    started = time.monotonic()
    resuming.finish(whole, job, wrapper)
    seconds = time.monotonic() - started
    expected = resuming.results(whole)
    done = inside = differing = 0
    while done < kills:
        folder = files / method / "killed" / "run"
        shutil.rmtree(folder.parent, ignore_errors=True)
        process = resuming.start(folder, job, wrapper)
        if done < saves:
            hit, in_save = resuming.kill_in_save(process, folder, draw.randint(1, 6), draw.uniform(0, 0.02))
        else:
            hit, in_save = resuming.kill_after(process, folder, draw.uniform(0, seconds))
        if not hit or (done < saves and not in_save):
            continue  # too late: it is no kill, or no kill inside of a save
        done += 1
        inside += in_save
        resuming.finish(folder, job, wrapper)
        different = resuming.differences(expected, resuming.results(folder))
        if different:
            differing += 1
            kept = files / method / f"different-{done}"
            shutil.copytree(folder, kept)
            print(f"{method}: kill {done} (inside a save: {in_save}): {', '.join(different)} differ: {kept}", flush=True)
    print(f"{method}: {done} kills, {inside} inside a save, {done - differing} resumed runs equal the uninterrupted one "
          f"({seconds:.1f} s each)", flush=True)
    return differing


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each method")
    parser.add_argument("--saves", type=int, default=15, help="of these, inside a save")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", choices=resuming.METHODS, action="append")
    parser.add_argument("--wrapper", default="", help='before the program, say "nice -n 10 taskset -c 1"')
    arguments = parser.parse_args()
    files = pathlib.Path(tempfile.mkdtemp(prefix="thalweg-kills-"))
    resuming.make_files(files)
    draw = random.Random(arguments.seed)
    differing = sum(campaign(files, method, arguments.kills, arguments.saves, draw, arguments.wrapper.split())
                    for method in arguments.method or resuming.METHODS)
    if differing == 0:
        shutil.rmtree(files)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
