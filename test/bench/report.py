"""The tables, from what bench.py measured (its JSON)."""
import re


def table(head, rows):
    """Text in columns: the first to the left, the others to the right."""
    rows = [head] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def number(s, digits=1, spread=True):
    """A median and from where to where: 21.3 (20.9 .. 21.6)"""
    if not s:
        return "-"
    text = f"{s['median']:.{digits}f}"
    return text + (f" ({s['low']:.{digits}f} .. {s['high']:.{digits}f})" if spread and s["n"] > 1 else "")


def percent(x):
    return "-" if x is None else f"{100 * x:.0f} %"


def machine(result):
    lines = [f"{result['cpu']}, {result['cores']} cores; load before and after: {result['load'][0]} and {result['load'][1]}"]
    for t in map(str, result["threads"]):
        lines.append(f"{t} threads: read bandwidth {number(result['bandwidth'][t], 2)} GB/s; integer peak "
                     f"{number(result['peak'][t])} GOP/s ({result['instruction']})")
    s = result["sizes"]
    lines.append(f"model: {s['layers']} layers of {s['hidden']}, {s['heads']} heads of {s['head_dim']} over {s['kv_heads']}, "
                 f"feed-forward {s['ffn']}, vocabulary {s['vocab']}; {result['prompt_operations'] * 1e-9:.0f} GOP in the linear "
                 f"layers of a prompt of {result['prompt']}")
    return "\n".join(lines)


def speeds(result):
    """Whole models. Shares: of the integer peak, of the bandwidth."""
    threads = [str(t) for t in sorted(result["threads"], reverse=True)]
    head = ["engine, format", "MB/token", f"prompt {threads[0]}t", "of peak"]
    for t in threads:
        head += [f"decode {t}t", "GB/s", "of bandwidth"]
    head += ["disturbed by"]
    rows = []
    for s in result["series"]:
        prompt = s["prompt"].get(threads[0])
        row = [f"{s['engine']} {s['format']}", f"{s['bytes'] * 1e-6:.0f}", number(prompt), percent(s["prompt_share"].get(threads[0]))]
        for t in threads:
            d, share = s["decode"].get(t), s["decode_share"].get(t)
            row += [number(d), f"{s['bytes'] * d['median'] * 1e-9:.1f}" if d else "-", percent(share)]
        rows.append(row + [percent(max(x["others"] for x in [*s["decode"].values(), *s["prompt"].values()]))])
    return table(head, rows)


def manners(result):
    """Several tokens a call, a busy core, the first token, memory, compiling."""
    calls = sorted({int(c) for s in result["series"] for c in s["calls"]})
    head = ["engine, format", *[f"{c} tokens: time" for c in calls], "busy core keeps", "first token ms", "resident/file", "compile s", "GiB"]
    rows = []
    for s in result["series"]:
        cost = [f"{s['calls'][str(c)]['cost']:.2f} x" if str(c) in s["calls"] else "-" for c in calls]
        compiled = s.get("compile")
        rows.append([f"{s['engine']} {s['format']}", *cost, percent(s.get("busy_keeps")), number(s.get("first_ms"), 0),
                     f"{s['resident']['median'] / s['file']:.2f}" if s.get("resident") else "-",
                     f"{compiled['seconds']:.0f}" if compiled else "-",
                     f"{compiled['resident'] / 2**30:.2f}" if compiled else "-"])
    return table(head, rows)


def kernels(result):
    parts = []
    for s in result["series"]:
        for where in s.get("where", []):
            prompt = where["call"] > 64
            rows = [[r["kernel"], r["count"] or "", f"{r['ms']:.2f}", f"{100 * r['share']:.1f} %",
                     f"{r['gops']:.0f}" if "gops" in r else "", percent(r.get("of_peak", None)) if prompt and "gops" in r else "",
                     f"{r['gbs']:.1f}" if "gbs" in r else "", percent(r["of_bandwidth"]) if not prompt and "gbs" in r else ""]
                    for r in where["rows"]]
            title = f"{s['format']}: {where['call']} tokens at {where['at']}, {where['ms']:.2f} ms, disturbed by {percent(where['others'])}"
            parts.append(title + "\n" + table(["kernel", "times", "ms", "share", "GOP/s", "of peak", "GB/s", "of bandwidth"], rows))
    return "\n\n".join(parts)


def bits(name):
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 0


def against(result):
    """For each type of llama.cpp: the fastest of ours that reads no more, and the fastest prompt of ours at its bits."""
    t = str(max(result["threads"]))
    ours = [s for s in result["series"] if s["engine"] == "qbc"]
    rows = []
    for s in result["series"]:
        if s["engine"] == "qbc":
            continue
        smaller = [o for o in ours if o["bytes"] <= s["bytes"] and bits(o["format"]) <= bits(s["format"])]
        same = [o for o in ours if bits(o["format"]) == bits(s["format"])]
        d = max(smaller, key=lambda o: o["decode"][t]["median"], default=None)
        p = max(same, key=lambda o: o["prompt"][t]["median"], default=None)
        def ratio(o, what):
            return f"{o[what][t]['median'] / s[what][t]['median']:.2f} x  {o['format']}" if o else "-"
        rows.append([s["format"], ratio(d, "decode"), ratio(p, "prompt")])
    return table(["llama.cpp", "decode, at equal or fewer bytes", "prompt, at the same bits"], rows) if rows else ""


def text(result):
    parts = [machine(result), speeds(result), manners(result), against(result) or f"llama.cpp: {result['peer']}", kernels(result)]
    return "\n\n".join(part for part in parts if part) + "\n"
