// The page: a map of Leaflet, and the controls beside it.

import { Coverage } from "./coverage.js";
import { byId, element } from "./elements.js";
import { Facts } from "./facts.js";
import { Flight } from "./flight.js";
import { Freshness } from "./freshness.js";
import { placeAt } from "./grid.js";
import { Readiness } from "./readiness.js";
import { Sectors } from "./sectors.js";
import { ask } from "./server.js";

const HEALTH_PERIOD_MS = 5000;
const ZOOMED_OUT = 2; // zooms below the smallest that has tiles, at which its tiles are still shown

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const map = L.map("map", {
  attributionControl: false,
  fadeAnimation: !still,
  zoomAnimation: !still,
  inertia: !still,
  maxBounds: [[-85.06, -180], [85.06, 180]],
  maxBoundsViscosity: 1,
  maxZoom: 22,
  minZoom: 0,
}).setView([0, 0], 1);

const coverage = new Coverage(map);
const freshness = new Freshness(map, draw);
const sectors = new Sectors(map);
const facts = new Facts(map);
const flight = new Flight(map);
const readiness = new Readiness(map, attempt, say);
let imagery = null;

// A tile layer of the zooms that have tiles: between them those of the next smaller one are magnified.
const Imagery = L.TileLayer.extend({
  _clampZoom(zoom) {
    const { zooms } = this.options;
    return zooms.findLast((each) => each <= zoom) ?? zooms[0];
  },

  // A place in two dimensions: a browser draws each picture with one in three as a layer of its own, a hundred
  // of them anew in each frame of a pan.
  _addTile(coords, container) {
    L.TileLayer.prototype._addTile.call(this, coords, container);
    const { el } = this._tiles[this._tileCoordsToKey(coords)];
    const { x, y } = L.DomUtil.getPosition(el);
    el.style.transform = `translate(${x}px, ${y}px)`;
  },
});

function say(line) {
  byId("status").textContent = line;
}

// Runs what may be refused, and shows the server's line where it is.
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message);
    return null;
  }
}

function draw() {
  const zoom = byId("zoom").value;
  for (const [name, view] of [["show-coverage", coverage], ["show-freshness", freshness]]) {
    if (byId(name).checked && zoom !== "") attempt(() => view.draw(zoom));
    else view.clear();
  }
}

function showTile(place) {
  const zoom = byId("zoom").value;
  if (zoom === "") return;
  attempt(async () => say(await facts.show(Number(zoom), placeAt(Number(zoom), place), freshness.at)));
}

async function start() {
  const [catalog, zooms, ground] = await Promise.all([ask("/catalog"), coverage.load(), ask("/tiles.json")]);
  byId("layers").textContent = catalog.layers.map((layer) => {
    const generation = layer.generation === null ? "" : ` ${layer.generation}`;
    const unsigned = layer.is_trusted === false ? ", unsigned" : "";
    const switched = layer.generation === layer.in_use ? "" : `, but ${layer.in_use} is in use: start serve anew`;
    return `${layer.name}${generation}: ${layer.tiles.toLocaleString("en")} tiles${unsigned}${switched}`;
  }).join(" · ");
  byId("attribution").textContent = catalog.attributions.join(" · ") || "No attribution is known for this imagery.";
  byId("dataset-list").replaceChildren(...listed(catalog.datasets));
  readiness.begin(catalog, zooms);
  byId("zoom").replaceChildren(...zooms.map((zoom) => new Option(zoom, zoom)));
  if (zooms.length) {
    byId("zoom").value = zooms.at(-1);
    const [west, south, east, north] = ground.bounds;
    imagery = new Imagery("/tiles/{z}/{x}/{y}.jpg", {
      zooms,
      noWrap: true,
      minZoom: Math.max(0, zooms[0] - ZOOMED_OUT),
      maxZoom: 22,
    }).addTo(map);
    map.fitBounds([[south, west], [north, east]], { maxZoom: zooms.at(-1) });
    const { minZoom } = imagery.options;
    if (map.getZoom() < minZoom) {
      byId("show-coverage").checked = true;
      draw();
      say(`Imagery is shown from zoom ${minZoom} on, coverage before.`);
    }
  } else {
    say("There are no tiles yet.");
  }
  await sectors.load();
  await watchHealth();
}

// Each dataset with what must be known of it; those of one name in base and store once.
function listed(datasets) {
  const byName = new Map(datasets.map((each) => [`${each.name} ${each.source}`, each]));
  if (!byName.size) return [element("li", "none is defined")];
  return [...byName.values()].map((each) => {
    const captured = each.captured_at === null ? "dates by tile" : `captured ${each.captured_at.slice(0, 10)}`;
    const offline = each.may_be_stored_offline ? "may be stored offline" : "may NOT be stored offline";
    const item = element("li", `${each.attribution} (${each.licence}, ${offline}), ${captured}`);
    item.prepend(element("strong", each.name), ": ");
    return item;
  });
}

// Asked again and again: what is degraded changes while the page is open.
async function watchHealth() {
  let status = "unknown";
  let what = "The server does not answer.";
  try {
    const answer = await ask("/health");
    status = answer.status;
    what = status === "ok" ? "All is well." : answer.degraded.map((each) => each.what).join("; ");
  } catch {
    // `what` says it.
  }
  if (byId("health").textContent !== what) byId("health").textContent = what;
  byId("health").classList.toggle("degraded", status !== "ok");
  setTimeout(watchHealth, HEALTH_PERIOD_MS);
}

map.on("moveend", draw);
map.on("click", ({ latlng }) => showTile(latlng));
map.getContainer().addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target === map.getContainer()) showTile(map.getCenter());
});
for (const name of ["show-coverage", "show-freshness", "zoom"]) byId(name).addEventListener("change", draw);
byId("show-sectors").addEventListener("change", (event) => sectors.show(event.target.checked));
byId("show-imagery").addEventListener("change", (event) => {
  if (event.target.checked) imagery?.addTo(map);
  else imagery?.remove();
});
byId("at-centre").addEventListener("click", () => showTile(map.getCenter()));
byId("load-flight").addEventListener("click", () => attempt(async () => say(await flight.load())));

await attempt(start);
document.body.dataset.ready = "yes";
