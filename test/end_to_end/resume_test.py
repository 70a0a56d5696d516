#!/usr/bin/env python3
"""-resume=DIR: interrupted at random moments and started again, a compilation ends in the same bytes as without an interruption, and leaves nothing else behind."""
import os
import random
import signal
import subprocess
import sys
import time

import tools

OPTIONS = ["-bpw=4", "-formats=i3g64z,i6g64"]
INTERRUPTIONS = 10 if os.environ.get("QBC_TEST_ALL") else 6


def command(work, calib, folder, output):
    return [str(w) for w in (tools.QBC, work / "model.onnx", *OPTIONS, calib, f"-resume={work / folder}", "-o", work / output)]


def entries(folder):
    return len(list(folder.glob("*.kept")))


def interrupted(words, folder, more, seconds):
    """Was it? So many seconds after it has kept so many entries more than there were."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wanted = entries(folder) + more
    while process.poll() is None and not ((folder / "compilation").exists() and entries(folder) >= wanted):
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode in (0, -signal.SIGINT), (process.returncode, told)
    return process.returncode != 0


def check_complaints(work, calib):
    tools.check_refused(work, (([f"-resume={work}/kept", "-bpw=4", "-formats=i2g64z,i4g64", calib], "another compilation"),
                               ([f"-resume={work}/text.txt", "-bpw=4", calib], "text.txt")))


def check(work):
    random.seed(7)
    for file in tools.MODEL.parent.iterdir():
        os.symlink(file.resolve(), work / file.name)
    if not (work / "tokenizer.json").exists():
        os.symlink(tools.FAMILY / "tokenizer.json", work / "tokenizer.json")
    (work / "text.txt").write_text((tools.ROOT / "docs/numerics.md").read_text())
    calib = f"-calib={work}/text.txt"
    tools.run(*command(work, calib, "whole", "whole.qbm"))
    tools.run(*command(work, calib, "whole", "again.qbm"))
    assert (work / "again.qbm").read_bytes() == (work / "whole.qbm").read_bytes()
    stopped, most = 0, entries(work / "whole")
    for i in range(INTERRUPTIONS):
        more = random.randrange(most // (INTERRUPTIONS + 1)) if i else 0
        stopped += interrupted(command(work, calib, "kept", "out.qbm"), work / "kept", more, random.uniform(0, 0.03))
        assert [p.name for p in work.iterdir() if p.name.startswith(".")] == [], "half-written"
        assert [p for p in (work / "kept").glob(".*")] == [] if (work / "kept").exists() else True
    tools.run(*command(work, calib, "kept", "out.qbm"))
    print(f"{stopped} of {INTERRUPTIONS} were interrupted")
    assert stopped >= INTERRUPTIONS / 2
    assert (work / "out.qbm").read_bytes() == (work / "whole.qbm").read_bytes()
    check_complaints(work, calib)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, as in a job in the background, our children would ignore it too
    sys.exit(tools.in_folder(check))
