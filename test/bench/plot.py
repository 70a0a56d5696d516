"""The plot: tokens a second against bytes read a token, ours and llama.cpp's, and the roof; SVG by hand."""
import html, math

WIDTH, HEIGHT, LEFT, TOP, GAP = 470, 420, 60, 40, 70
COLOURS = {"qbc": "#1668a8", "llama.cpp": "#c2571a"}


def nice_ticks(high):
    step = 10 ** math.floor(math.log10(high / 4))
    step *= next(m for m in (1, 2, 5, 10) if high / (step * m) <= 6)
    return [i * step for i in range(int(high / step) + 1)]


class Panel:
    """One diagram: x is bytes a token in MB, y tokens a second, both from 0."""

    def __init__(self, left, title, points, roof):
        self.left, self.title, self.points, self.roof = left, title, points, roof
        self.high_x = 1.08 * max((x for _, _, x, *_ in points), default=1)
        self.high_y = 1.15 * max((p[4] for p in points), default=1)

    def at(self, x, y):
        return (self.left + x / self.high_x * WIDTH, TOP + HEIGHT * (1 - y / self.high_y))

    def axes(self):
        x0, y0 = self.at(0, 0)
        yield f'<rect x="{x0:.1f}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>'
        yield f'<text x="{x0:.1f}" y="{TOP - 14}" font-size="15">{html.escape(self.title)}</text>'
        for v in nice_ticks(self.high_x):
            x, y = self.at(v, 0)
            yield f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{v:g}</text>'
        for v in nice_ticks(self.high_y):
            x, y = self.at(0, v)
            yield f'<path d="M{x:.1f} {y:.1f}h{WIDTH}" stroke="#eee"/><text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{v:g}</text>'
        x, y = self.at(self.high_x / 2, 0)
        yield f'<text x="{x:.1f}" y="{y + 34:.1f}" text-anchor="middle">MB of weights read a token</text>'

    def curve(self):
        """The roof, where it is inside."""
        points = [(self.high_x * i / 200, self.roof(self.high_x * i / 200)) for i in range(1, 201)]
        path = "L".join("%.1f %.1f" % self.at(x, y) for x, y in points if y <= self.high_y)
        if path:
            yield f'<path d="M{path}" fill="none" stroke="#555" stroke-dasharray="5 4"/>'

    def marks(self):
        for engine, name, x, low, y, high in self.points:
            colour, (cx, cy) = COLOURS[engine], self.at(x, y)
            top, bottom = self.at(x, high)[1], self.at(x, low)[1]
            yield f'<path d="M{cx:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}"/><circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="{colour}"/>'
            side, anchor = (6, "start") if engine == "qbc" else (-6, "end")
            yield f'<text x="{cx + side:.1f}" y="{cy - 5:.1f}" fill="{colour}" text-anchor="{anchor}">{html.escape(name)}</text>'

    def draw(self):
        return [*self.axes(), *self.curve(), *self.marks()]


def points_of(result, what, threads):
    rows = []
    for s in result["series"]:
        speed = s.get(what, {}).get(threads)
        if speed:
            rows.append((s["engine"], s["format"], s["bytes"] * 1e-6, speed["low"], speed["median"], speed["high"]))
    return rows


def svg(result):
    threads = str(max(result["threads"]))
    bandwidth = result["bandwidth"][threads]["median"] * 1e3  # MB/s
    top = result["peak"][threads]["median"] * 1e9 / result["prompt_operations"] * result["prompt"]
    panels = [
        Panel(LEFT, f"Decoding, {threads} threads: t/s (dashed: read bandwidth)", points_of(result, "decode", threads),
              lambda mb: bandwidth / mb),
        Panel(LEFT + WIDTH + GAP, f"Prompt of {result['prompt']}: t/s (dashed: integer peak)",
              points_of(result, "prompt", threads), lambda mb: top),
    ]
    legend = "".join(f'<text x="{LEFT + 10 + 80 * i}" y="{TOP + HEIGHT - 10}" fill="{c}" font-size="14">{e}</text>'
                     for i, (e, c) in enumerate(COLOURS.items()))
    body = "\n".join(line for p in panels for line in p.draw())
    width, height = LEFT + 2 * WIDTH + GAP + 30, TOP + HEIGHT + 50
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n{body}\n{legend}\n</svg>\n')
