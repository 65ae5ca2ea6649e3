"""A topology as a drawing: hosts, routers, links with what they do to packets, addresses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import atan2, degrees, hypot
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from testbed.errors import LabError
from testbed.show import labels
from testbed.show.layout import Layout, Positions, positions
from testbed.spec import Link, Topology

FORMATS = (".svg", ".png", ".pdf")
# Beyond so many links, what they have in common is said once, and only what differs is written on them.
_MANY_LINKS = 12
_BOX = (1.0, 0.42)
_MARGIN = 0.7
_PARALLEL = 0.8
# From the middle of a host to that of an address at a horizontal and at a vertical link.
_BESIDE, _ABOVE = 0.92, 0.4
_HOST, _ROUTER, _LINE, _ADDRESS = "#cfe3f7", "#e8e8e8", "#4d4d4d", "#1f5c99"


class _Cable(NamedTuple):
    """A link's curve: from the middle of one host to that of the other, bent aside by `bend` inches."""

    link: Link
    start: tuple[float, float]
    end: tuple[float, float]
    bend: float

    @property
    def control(self) -> tuple[float, float]:
        (x0, y0), (x1, y1) = self.start, self.end
        length = hypot(x1 - x0, y1 - y0)
        aside = 2 * self.bend / length  # a quadratic curve goes half the way to its control point
        return (x0 + x1) / 2 - (y1 - y0) * aside, (y0 + y1) / 2 + (x1 - x0) * aside

    def at(self, share: float) -> tuple[float, float]:
        """The point after `share` of the way."""
        a, b, c = (1 - share) ** 2, 2 * share * (1 - share), share**2
        x, y = (a * p + b * q + c * r for p, q, r in zip(self.start, self.control, self.end, strict=True))
        return x, y

    @property
    def angle(self) -> float:
        """Its slope in degrees, so that text along it can be read from below."""
        angle = degrees(atan2(self.end[1] - self.start[1], self.end[0] - self.start[0]))
        return angle - 180 if angle > 90 else angle + 180 if angle <= -90 else angle


def draw(topology: Topology, layout: Layout, path: Path) -> None:
    """Write a drawing of `topology` to `path`; LabError when its format is none of FORMATS or it cannot be written."""
    if path.suffix not in FORMATS:
        raise LabError(f"--out {path}: must end in one of {', '.join(FORMATS)}")
    with rc_context():
        rcdefaults()  # whatever the user's matplotlibrc says
        # The same topology gives the same file; text in SVG stays text, and a dollar sign one.
        rcParams.update({"svg.fonttype": "none", "svg.hashsalt": topology.name, "text.parse_math": False})
        figure = _figure(topology, layout)
        try:
            figure.savefig(path, dpi=130, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else {})
        except OSError as error:
            raise LabError(f"--out {path}: {error.strerror}") from None


def _figure(topology: Topology, layout: Layout) -> Figure:
    places = positions(topology, layout)
    cables = list(_cables(topology, places))
    figure, axes = _canvas([*places.values(), *(cable.at(0.5) for cable in cables)])
    common = _common_label(topology)
    for cable in cables:
        _draw_cable(axes, cable, layout, common)
    for host in topology.hosts:
        _draw_host(axes, host.name, places[host.name], _ROUTER if host.forward else _HOST)
    if layout == "tiers":
        _draw_leaf_addresses(axes, topology, places)
    title = f"{topology.name}: {topology.description}"
    axes.set_title(f"{title}\nevery link, unless it says otherwise: {common}" if common else title, fontsize=11)
    return figure


def _canvas(points: list[tuple[float, float]]) -> tuple[Figure, Any]:
    xs, ys = zip(*points, strict=True)
    left, right = min(xs) - _MARGIN, max(xs) + _MARGIN
    bottom, top = min(ys) - _MARGIN, max(ys) + _MARGIN
    figure = Figure(figsize=(right - left, top - bottom))
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    return figure, axes


def _cables(topology: Topology, places: Positions) -> Iterator[_Cable]:
    between: dict[frozenset[str], list[Link]] = defaultdict(list)
    for link in topology.links:
        between[frozenset(end.host for end in link.ends)].append(link)
    for links in between.values():
        for index, link in enumerate(links):
            first, second = (places[end.host] for end in link.ends)
            # Bends are counted from the left one of the two hosts, whichever end of the link it is.
            side = 1 if first <= second else -1
            yield _Cable(link, first, second, side * _PARALLEL * ((len(links) - 1) / 2 - index))


def _common_label(topology: Topology) -> str:
    if len(topology.links) <= _MANY_LINKS:
        return ""
    label, count = Counter(labels.link(link) for link in topology.links).most_common(1)[0]
    return label if count > len(topology.links) / 2 else ""


def _draw_cable(axes: Any, cable: _Cable, layout: Layout, common: str) -> None:
    curve = Curve([cable.start, cable.control, cable.end], [Curve.MOVETO, Curve.CURVE3, Curve.CURVE3])
    axes.add_patch(PathPatch(curve, fill=False, edgecolor=_LINE, linewidth=1.2, zorder=1))
    label = labels.link(cable.link)
    if layout == "tiers":
        _draw_subnet(axes, cable)
    else:
        _draw_ends(axes, cable)
    if label != common:
        lines = label.replace(", queue", "\nqueue")
        _text(axes, cable.at(0.5), lines if layout == "tiers" else f"{cable.link.name}\n{lines}", 7.5)


def _draw_ends(axes: Any, cable: _Cable) -> None:
    """The kernel's addresses near the hosts that have them."""
    (x0, y0), (x1, y1) = cable.start, cable.end
    # Beside the box, or above or below it.
    length = hypot(x1 - x0, y1 - y0)
    share = (abs(x1 - x0) * _BESIDE + abs(y1 - y0) * _ABOVE) / length**2
    for end, where in zip(cable.link.ends, (share, 1 - share), strict=True):
        text = "\n".join(str(place.address.ip) for place in end.places)
        _text(axes, cable.at(where), text, 6.5, _ADDRESS)


def _draw_subnet(axes: Any, cable: _Cable) -> None:
    network = str(cable.link.ends[0].networks[0])
    _text(axes, cable.at(0.3), network, 6, _ADDRESS, rotation=cable.angle)


def _draw_leaf_addresses(axes: Any, topology: Topology, places: Positions) -> None:
    for host in topology.hosts:
        if not host.forward:
            x, y = places[host.name]
            ends = topology.interfaces(host.name)
            text = "\n".join(str(place.address.ip) for end in ends for place in end.places)
            axes.text(x, y - 0.28, text, ha="center", va="top", fontsize=6.5, color=_ADDRESS)


def _draw_host(axes: Any, name: str, place: tuple[float, float], colour: str) -> None:
    width, height = _BOX
    corner = (place[0] - width / 2, place[1] - height / 2)
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=colour, edgecolor=_LINE, linewidth=1, zorder=2)
    )
    axes.text(*place, name, ha="center", va="center", fontsize=9, zorder=3)


def _text(
    axes: Any, place: tuple[float, float], text: str, size: float, colour: str = "black", rotation: float = 0
) -> None:
    background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.text(
        *place,
        text,
        ha="center",
        va="center",
        fontsize=size,
        color=colour,
        rotation=rotation,
        rotation_mode="anchor",
        bbox=background,
        zorder=1.5,
    )
