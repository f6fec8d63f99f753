// A flight on a time line: the events of its record, and the tiles and positions that they name.

import { byId, element, keyOf } from "./elements.js";
import { ask } from "./server.js";
import { Cells, boundsOf } from "./grid.js";

const COLOURS = {
  stored: "#009e73",
  candidate: "#0072b2",
  used: "#cc79a7",
  stale: "#e69f00",
  evicted: "#777777",
  refused: "#c43c00",
  damaged: "#000000",
  other: "#56b4e9",
};
const STEP_MS = 250;
const MOST_DRAWN = 2000;

export class Flight {
  constructor(map) {
    this.map = map;
    this.cells = new Cells(map, "flight");
    this.track = L.polyline([], { color: COLOURS.used, weight: 3, interactive: false }).addTo(map);
    const asked = { color: COLOURS.candidate, weight: 2, dashArray: "1 7", interactive: false, className: "asked" };
    this.asked = L.polyline([], asked).addTo(map);
    this.prior = L.layerGroup().addTo(map);
    this.since = byId("since");
    this.until = byId("until");
    this.events = [];
    this.timer = null;
    this.slider = byId("event");
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    byId("back").addEventListener("click", () => this.go(this.position - 1));
    byId("forward").addEventListener("click", () => this.go(this.position + 1));
    byId("play").addEventListener("click", () => this.play(this.timer === null));
    byId("roles").replaceChildren(...keyOf(Object.keys(COLOURS)));
  }

  get position() {
    return Number(this.slider.value);
  }

  async load() {
    const [since, until] = [this.since, this.until].map(({ value }) => (value ? `${value}Z` : null));
    const found = await ask("/record", { since, until });
    if (found === null) return "";
    this.events = found.events;
    this.gone = found.database_gone;
    const count = this.events.length;
    byId("flight").hidden = count === 0;
    const notes = [`${count} events`];
    if (!found.is_complete) {
      notes.push(`older ones are left out, ${found.most_events} are shown at a time: choose an earlier end`);
    }
    if (found.damaged_lines) notes.push(`${found.damaged_lines} damaged lines`);
    byId("flight-note").textContent = notes.join("; ");
    this.slider.max = Math.max(0, count - 1);
    if (count) this.go(0);
    else this.clear();
    return notes[0];
  }

  go(position) {
    if (!this.events.length) return;
    const last = this.events.length - 1;
    this.slider.value = Math.min(Math.max(position, 0), last);
    const event = this.events[this.position];
    const line = `${event.time.slice(0, 19).replace("T", " ")} UTC, ${event.kind}, ${event.reason}`;
    this.slider.setAttribute("aria-valuetext", line);
    const payload = Object.entries(event.payload).map(([name, value]) =>
      `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    const left = event.tiles_left_out ? `; ${event.tiles_left_out} tiles are not drawn` : "";
    byId("event-text").textContent = `${line}: ${payload.join(" ")}${left}`;
    byId("database").textContent = this.databaseAt(event.time);
    this.list(event);
    this.draw();
    if (this.position === last) this.play(false);
  }

  // The hits of a lookup, nearest first, and which of them a later fix used.
  list({ hits, hits_left_out: left, payload }) {
    const used = new Set(this.events.filter((event) => event.role === "used" && event.payload.lookup === payload.lookup)
      .map((event) => event.payload.tile));
    const items = hits.map(([tile, distance, content]) => {
      const what = content === null ? ", not known to a store" : "";
      const far = Number.isFinite(distance) ? Number(distance.toPrecision(6)) : distance;
      return element("li", `${tile}: distance ${far}${what}${used.has(tile) ? ", used by a fix" : ""}`);
    });
    if (left) items.push(element("li", `and ${left} more`));
    byId("hits").replaceChildren(...items);
    byId("hits-of").hidden = !items.length;
  }

  databaseAt(time) {
    const within = ({ since, until }) => since <= time && (until === null || time < until);
    if (this.gone.some(within)) return "The database is gone.";
    return this.gone.some(({ until }) => until !== null && until <= time) ? "The database is back." : "";
  }

  // The tiles of the events up to this one, each as its last event says; those of this one stand out.
  draw() {
    const shown = new Map();
    const track = [];
    const asked = [];
    this.events.slice(0, this.position + 1).forEach((event, position) => {
      for (const [zoom, x, y] of event.tiles) {
        const name = `${zoom}/${x}/${y}`;
        shown.delete(name);
        shown.set(name, { zoom, x, y, role: event.role, isNow: position === this.position });
      }
      if (event.position) track.push(event.position);
      for (const { circle } of event.prior ?? []) if (circle) asked.push(circle.slice(0, 2));
    });
    this.cells.draw([...shown.values()].slice(-MOST_DRAWN).map(({ zoom, x, y, role, isNow }) => ({
      zoom,
      x,
      y,
      style: {
        color: COLOURS[role],
        weight: isNow ? 4 : 2,
        dashArray: role === "evicted" ? "3 4" : null,
        fillOpacity: isNow ? 0.5 : 0.15,
      },
    })));
    this.track.setLatLngs(track);
    this.asked.setLatLngs(asked);
    this.prior.clearLayers();
    for (const shape of this.events[this.position].prior ?? []) drawn(shape).addTo(this.prior);
    this.follow(this.events[this.position]);
  }

  // Moves the map where the event is out of sight.
  follow({ tiles, position }) {
    const [first] = tiles;
    const place = position ?? (first && L.latLngBounds(boundsOf(...first)).getCenter());
    if (place && !this.map.getBounds().contains(place)) this.map.panTo(place);
  }

  clear() {
    this.cells.clear();
    this.track.setLatLngs([]);
    this.asked.setLatLngs([]);
    this.prior.clearLayers();
  }

  play(wanted) {
    clearInterval(this.timer);
    this.timer = wanted ? setInterval(() => this.go(this.position + 1), STEP_MS) : null;
    const button = byId("play");
    button.textContent = wanted ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(wanted));
    // Four lines a second are no use to a listener.
    for (const name of ["event-text", "database"]) byId(name).setAttribute("aria-live", wanted ? "off" : "polite");
  }
}

// One shape of the area that a lookup was asked within.
function drawn({ circle, box, corridor, polygons }) {
  const style = { color: COLOURS.candidate, weight: 2, dashArray: "2 5", fill: false, interactive: false, className: "prior" };
  if (circle) return L.circle(circle.slice(0, 2), { ...style, radius: circle[2] });
  if (box) return L.rectangle([[box[1], box[0]], [box[3], box[2]]], style);
  if (corridor) return L.polyline(corridor[0].map(([lon, lat]) => [lat, lon]), style);
  return L.polygon(polygons.map((rings) => rings.map((ring) => ring.map(([lon, lat]) => [lat, lon]))), style);
}
