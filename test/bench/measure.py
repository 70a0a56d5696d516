"""Running programs so that what they print can be compared: when the machine is quiet, several times; medians with
their spread. At a higher priority only when asked for: real-time threads on all cores keep everyone else waiting."""
import json, os, pathlib, statistics, subprocess, sys, time

DISTURBED = 0.12  # share of the cores that others had: a run above is done again


def become_realtime():
    """In the child: before everyone else, where the system lets us. A thread that slept at a barrier then goes on at
    once, which a low niceness alone does not give."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        become_nice()


def become_nice():
    """In the child, alone in its session: a large share for all in it."""
    try:
        os.nice(-20)
        pathlib.Path("/proc/self/autogroup").write_text("-20")
    except OSError:
        pass


class Finished:
    def __init__(self, out, seconds, resident):
        self.out, self.seconds, self.resident = out, seconds, resident


PRIORITIES = {"normal": None, "nice": become_nice, "realtime": become_realtime}


def run(*command, priority=None):
    """Standard output, seconds from exec to exit and peak resident bytes of a command; ends this one when it fails.
    priority: one of PRIORITIES' functions, for the child."""
    start = time.monotonic()
    p = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, start_new_session=bool(priority), preexec_fn=priority)
    try:
        out, err = p.stdout.read(), p.stderr.read()
    except KeyboardInterrupt:
        p.kill()
        raise
    _, status, usage = os.wait4(p.pid, 0)
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"bench.py: error: {' '.join(map(str, command))}: {err.strip()[-500:] or f'status {status}'}")
    return Finished(out, seconds, usage.ru_maxrss * 1024)


def busy_seconds():
    with open("/proc/stat") as f:
        return sum(map(int, f.readline().split()[1:4])) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(patience):
    """Until others use less than a fifth of a core, but not longer than `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        busy, start = busy_seconds(), time.monotonic()
        time.sleep(0.2)
        if (busy_seconds() - busy) / (time.monotonic() - start) < 0.2:
            return


def priority(o, shares=False):
    """As the option says; who must share a core with a busy loop is never real-time."""
    wanted = PRIORITIES[o.priority]
    return become_nice if shares and wanted else wanted


def plans(o, command, wanted, tries=None, busy=False):
    """The JSON that speed.c or peer.py prints; a disturbed run is repeated, and the least disturbed one counts."""
    best = None
    for _ in range(tries or o.tries):
        wait_for_quiet(o.patience)
        result = json.loads(run(*command, *wanted, *(["--busy"] if busy else []),
                                priority=priority(o, busy)).out)
        others = max(r["others"] for r in result["runs"])
        if best is None or others < best[0]:
            best = (others, result)
        if busy or others < DISTURBED:
            break
    return best[1]


def tokens_per_second(one):
    """Of one run: by the median of its calls, so that a call that was interrupted does not count."""
    return one["call"] * 1e3 / statistics.median(one["ms"])


class Numbers:
    """What one quantity was in each repetition."""

    def __init__(self):
        self.values, self.others = [], []

    def add(self, value, others=0.0):
        self.values.append(value)
        self.others.append(others)

    def summary(self):
        v = self.values
        return {"median": statistics.median(v), "low": min(v), "high": max(v), "n": len(v),
                "others": statistics.median(self.others)}
