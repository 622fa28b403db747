"""Plots as SVG, made on the server. Only attributes: the pages allow no inline styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from markupsafe import Markup, escape

from console.words import Words
from sync.support.courses import Course

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 26, 28
BUCKETS = 48
#: Stroke patterns, so that lines differ without colour.
DASHES = ("", "6 4", "2 3", "10 3 2 3")


@dataclass(frozen=True)
class _Scale:
    """Where a moment and a value are in the picture."""

    begin: float
    end: float
    top: float

    def x(self, at: float) -> float:
        share = (at - self.begin) / max(self.end - self.begin, 1e-9)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = value / max(self.top, 1e-9)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _svg(label: str, body: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
        f"{''.join(body)}</svg>"
    )


def _label(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="scale" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def balance_plot(
    course: Course, places: Mapping[str, str], currency: str, now: datetime, words: Words
) -> Markup:
    """One step line a side, and a mark where money was written off."""
    points = [at for line in course.lines.values() for at, _ in line]
    if not points:
        return Markup("")
    top = max([minor for line in course.lines.values() for _, minor in line] + [1])
    begin, end = min(points).timestamp(), max(now, max(points)).timestamp()
    scale = _Scale(begin, end, float(top))
    body = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{scale.y(top)}" y2="{scale.y(top)}"/>',
        _label(LEFT, scale.y(top) - 3, words.money(top, currency)),
        _label(LEFT, HEIGHT - 6, words.moment(min(points), now)),
        _label(WIDTH - RIGHT, HEIGHT - 6, words.text("now"), "end"),
    ]
    for number, (side, line) in enumerate(course.lines.items()):
        if not line:
            continue
        path = f"M{scale.x(line[0][0].timestamp())} {scale.y(0)}"
        for at, minor in line:
            path += f"H{scale.x(at.timestamp())}V{scale.y(minor)}"
        path += f"H{scale.x(end)}"
        dash = DASHES[number % len(DASHES)]
        pattern = f' stroke-dasharray="{dash}"' if dash else ""
        title = f"<title>{escape(places.get(side, side))}</title>"
        body.append(f'<path class="line s{number % 3}" d="{path}"{pattern}>{title}</path>')
    for at, minor in course.written_off:
        x = scale.x(at.timestamp())
        title = escape(words.text("Written off: {amount}", amount=words.money(minor, currency)))
        body.append(
            f'<path class="lost" d="M{x - 5} {TOP - 9}h10l-5 9z"><title>{title}</title></path>'
            f'<line class="lost" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
    label = words.text(
        "Balance over time on each side, from {begin} until now", begin=words.moment(min(points), now)
    )
    return _svg(label, body)


def lag_plot(lags: Sequence[tuple[datetime, float]], now: datetime, words: Words) -> Markup:
    """For each slice of the time that there are lags of: a bar to the slowest, and a mark at the middle."""
    if not lags:
        return Markup("")
    begin = min(at for at, _ in lags).timestamp()
    end = max(now.timestamp(), begin + 1)
    slices: dict[int, list[float]] = {}
    for at, seconds in lags:
        place = min(BUCKETS - 1, int((at.timestamp() - begin) / (end - begin) * BUCKETS))
        slices.setdefault(place, []).append(seconds)
    top = max(max(found) for found in slices.values())
    scale = _Scale(0, BUCKETS, top)
    body = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{scale.y(top)}" y2="{scale.y(top)}"/>',
        _label(LEFT, scale.y(top) - 3, words.seconds(top)),
        _label(LEFT, HEIGHT - 6, words.moment(min(at for at, _ in lags), now)),
        _label(WIDTH - RIGHT, HEIGHT - 6, words.text("now"), "end"),
    ]
    for place, found in sorted(slices.items()):
        x, width = scale.x(place) + 1, round((WIDTH - LEFT - RIGHT) / BUCKETS - 2, 1)
        slowest, middle = scale.y(max(found)), scale.y(median(found))
        title = escape(
            words.texts(
                "{count} movement, half within {half}, all within {all}",
                "{count} movements, half within {half}, all within {all}",
                len(found),
                half=words.seconds(median(found)),
                all=words.seconds(max(found)),
            )
        )
        body.append(
            f'<g><title>{title}</title><rect class="bar" x="{x:.1f}" y="{slowest}" width="{width}" '
            f'height="{max(1.0, HEIGHT - BOTTOM - slowest):.1f}"/>'
            f'<line class="middle" x1="{x:.1f}" x2="{x + width:.1f}" y1="{middle}" y2="{middle}"/></g>'
        )
    return _svg(words.text("How long movements took to the other sides, over the last day"), body)
