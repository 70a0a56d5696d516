#!/usr/bin/env python3
"""-report= tells what was chosen, as JSON and as a page that needs nothing else; -precision= takes such a file, or one made by hand, and gives the same formats."""
import json
import sys

import tools

FORMATS = "-formats=i3g64z,i4g64,i6g64"


def formats(artifact):
    return {t["name"]: t["format"] for t in json.loads(tools.run(tools.QBRUN, artifact, "--info=json").stdout)["tensors"] if t["rows"] > 1}


def check_report(work, calib):
    chosen = tools.compile_model(work / "chosen.qbm", "-bpw=4.5", calib, FORMATS, "-transform=hadamard", f"-report={work}/report.json")
    report = json.loads((work / "report.json").read_text())
    assert report["tensors"] == formats(chosen) and 4.47 < report["bits_per_weight"] <= 4.5, report["tensors"]
    bits, losses = zip(*report["frontier"])
    assert list(bits) == sorted(bits) and list(losses) == sorted(losses, reverse=True)
    assert abs(report["chosen"][0] - 4.5) < 0.05 and all(len(d["candidates"]) == 3 for d in report["details"])
    assert {a["reader"] for a in report["activations"]} > {"0.attn_q", "3.ffn_down"} and all(a["peak"] >= a["median"] > 0 for a in report["activations"])
    ratio = lambda a, which: a["peak" + which] / a["median" + which]
    assert all(a["peak_before"] >= a["median_before"] > 0 for a in report["activations"])
    assert max(ratio(a, "") for a in report["activations"]) < max(ratio(a, "_before") for a in report["activations"])  # turned: fewer peaks
    assert report["rule"] == {"budget": "-bpw=4.5", "allocator": "mckp", "metric": "hessian_loss", "granularity": "tensor", "unit": "nats a token"}
    again = tools.compile_model(work / "again.qbm", f"-precision={work}/report.json")
    assert formats(again) == formats(chosen)
    print("report.json is a precision file:", len(report["tensors"]), "tensors")


def check_hand_made(work):
    (work / "hand.json").write_text('{"blocks": {"1": "i8g32"}, "tensors": {"1.ffn_up": "i6g64", "embed": "i8g32"}}')
    found = formats(tools.compile_model(work / "hand.qbm", f"-precision={work}/hand.json", "-quant=i4g32", "-quant-tensor=attn_v=i5g64", f"-report={work}/page.html"))
    assert found["1.ffn_up"] == "i6g64" and found["1.ffn_down"] == found["embed"] == "i8g32" and found["0.ffn_up"] == "i4g32", found
    assert found["1.attn_v"] == "i5g64", found
    page = (work / "page.html").read_text()
    inside = page.split('<script type="application/json" id="report">')[1].split("</script>")[0]
    assert json.loads(inside)["tensors"] == found
    assert page.replace("http://www.w3.org/2000/svg", "").count("http") == 0 and "src=" not in page and "@import" not in page


def check(work):
    (work / "text.txt").write_text((tools.ROOT / "docs/numerics.md").read_text())
    (work / "wrong.json").write_text('{"tensors": {"0.fn_up": "i4g32"}}')
    tools.check_refused(work, ((["-report=x.txt"], ".html"), ([f"-precision={work}/wrong.json"], "0.ffn_up"), ([f"-precision={work}/text.txt"], "text.txt"),
                               (["-report=x.html", "-emit=obj"], "-emit=qbm")))
    check_hand_made(work)
    check_report(work, f"-calib={work}/text.txt")


if __name__ == "__main__":
    sys.exit(tools.in_folder(check))
