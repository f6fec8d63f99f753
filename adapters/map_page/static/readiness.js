// Go or no-go along a route: a file that is chosen, or dropped on the page, judged as `aerotile ready` does.

import { byId, element, keyOf, listedButton, row } from "./elements.js";
import { Cells } from "./grid.js";
import { ask } from "./server.js";

// By the rank that the server gives a cell, as in the picture of `aerotile ready --map`.
const STYLES = [
  { color: "#00703c", weight: 1 },
  { color: "#96bea0", weight: 1, dashArray: "1 3" },
  { color: "#3c6edc", weight: 2, dashArray: "2 4" },
  { color: "#ffb040", weight: 2, dashArray: "8 3" },
  { color: "#8c005a", weight: 3, dashArray: "4 3" },
  { color: "#dc0000", weight: 3 },
];
const MOST_LISTED = 20;
const LONGEST_NAME = 30;

const counted = (tiles) => (tiles === 1 ? "1 tile" : `${tiles.toLocaleString("en")} tiles`);

export class Readiness {
  // `attempt` runs what may be refused and shows the line of it, `say` shows a line.
  constructor(map, attempt, say) {
    this.map = map;
    this.attempt = attempt;
    this.say = say;
    this.cells = new Cells(map, "readiness");
    this.lines = L.featureGroup().addTo(map);
    this.file = null;
    this.diversions = [];
    this.found = null;
    byId("diversions").addEventListener("change", ({ target }) => {
      this.diversions = [...target.files];
      if (this.file !== null) this.judge();
    });
    byId("route").addEventListener("change", ({ target }) => this.take([...target.files]));
    byId("judge").addEventListener("click", () => this.judge());
    byId("take-away").addEventListener("click", () => this.clear());
    byId("ready-zoom").addEventListener("change", () => this.draw());
    this.followDrops(byId("drop"));
  }

  // What the server says of itself, and the zoom that a route is judged at first.
  begin({ ready, most_route_bytes: most }, zooms) {
    this.address = ready;
    this.most = most;
    byId("ready-zooms").value = zooms.at(-1) ?? "";
  }

  followDrops(sign) {
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    const show = (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      sign.hidden = false;
    };
    addEventListener("dragenter", show);
    addEventListener("dragover", show);
    addEventListener("dragleave", ({ relatedTarget }) => {
      if (relatedTarget === null) sign.hidden = true;
    });
    addEventListener("drop", (event) => {
      sign.hidden = true;
      if (!holdsFiles(event)) return;
      event.preventDefault();
      byId("route").value = "";
      this.take([...event.dataTransfer.files]);
    });
  }

  take(files) {
    if (!files.length) return;
    if (files.length > 1) {
      this.say(`${files.length} files: one route is judged at a time`);
      return;
    }
    [this.file] = files;
    byId("route-name").textContent = `Route: ${this.file.name}`;
    this.judge();
  }

  judge() {
    this.forget();
    return this.attempt(async () => {
      if (this.file === null) throw new Error("choose a route file first");
      const { file, diversions } = this;
      const size = [file, ...diversions].reduce((sum, each) => sum + each.size, 0);
      if (size > this.most) {
        const what = diversions.length ? "files are" : "file is";
        throw new Error(`the ${what} larger than ${this.most / 2 ** 20} MiB`);
      }
      this.say("The route is judged ...");
      const takeOff = byId("take-off").value;
      const found = await ask(this.address, {
        name: file.name,
        diversions: diversions.length
          ? JSON.stringify(diversions.map((each) => [each.name.slice(-LONGEST_NAME), each.size])) : null,
        corridor: byId("corridor").value,
        zooms: byId("ready-zooms").value,
        at: takeOff ? `${takeOff}:00Z` : null,
        speed: byId("speed").value || null,
      }, "ready", {
        method: "POST",
        headers: { "Content-Type": "application/octet-stream" },
        body: new Blob([file, ...diversions]),
      });
      if (found !== null && file === this.file && diversions === this.diversions) this.show(found);
    });
  }

  show(found) {
    this.found = found;
    byId("readiness").hidden = false;
    const answer = byId("go");
    answer.textContent = found.go ? "GO" : "NO-GO";
    answer.className = found.go ? "go" : "no-go";
    const left = Object.entries(found.left_out).map(([kind, count]) => `; left out: ${count} x ${kind}`);
    byId("ready-facts").textContent =
      `${(found.length_m / 1000).toFixed(1)} km, ${found.corridor_m} m to each side, take-off ` +
      `${found.take_off.slice(0, 16).replace("T", " ")} UTC, ${found.pace}; ` +
      `${found.tiles.toLocaleString("en")} tiles${left.join("")}`;
    const noes = found.noes.map(({ what, tiles, remedy }) => [`${counted(tiles)} ${what}`, remedy]);
    for (const { name, holds, detail, remedy } of found.conditions) {
      if (!holds) noes.push([`${name}: ${detail}`, remedy]);
    }
    byId("noes").replaceChildren(...noes.map(([what, remedy]) => {
      const item = element("li", `${what} `);
      item.append(element("code", remedy));
      return item;
    }));
    byId("conditions").replaceChildren(
      ...found.conditions.map(({ name, holds, detail }) => row(name, holds ? "yes" : "NO", detail)),
    );
    this.listLegs(found.legs);
    byId("ready-zoom").replaceChildren(...found.zooms.map((zoom) => new Option(zoom, zoom)));
    byId("ready-zoom").value = found.zooms.at(-1);
    byId("ready-key").replaceChildren(...keyOf(found.kinds));
    this.draw();
    this.map.fitBounds(this.lines.getBounds(), { maxZoom: found.zooms.at(-1) });
    const reasons = found.noes.map(({ what, tiles }) => `${counted(tiles)} ${what}`);
    reasons.push(...found.conditions.filter(({ holds }) => !holds).map(({ name }) => name));
    this.say(found.go ? "GO" : `NO-GO: ${reasons.join(", ")}`);
  }

  listLegs(legs) {
    const unready = legs.filter(({ ready }) => !ready);
    const shown = (unready.length ? unready : legs).slice(0, MOST_LISTED);
    const items = shown.map((leg) => {
      const counts = leg.zooms.map(({ zoom, wanted, ready }) => `zoom ${zoom}: ${ready} of ${wanted} ready`);
      const until = leg.ends_at.slice(0, 16).replace("T", " ");
      const content = `${leg.diversion ? "diversion " : ""}${leg.route} leg ${leg.leg}, until ${until} UTC; ${counts.join("; ")}`;
      return listedButton(content, () => this.map.fitBounds(L.latLngBounds(leg.lines.flat())));
    });
    if (legs.length > shown.length) items.push(element("li", `and ${legs.length - shown.length} more legs`));
    byId("legs").replaceChildren(...items);
  }

  draw() {
    const zoom = Number(byId("ready-zoom").value);
    const { cell_zoom: cellZoom, rows } = this.found.cells.find((cells) => cells.zoom === zoom);
    this.cells.draw(rows.map(([y, x, last, rank]) => (
      { zoom: cellZoom, x, y, last, style: { fillOpacity: rank ? 0.45 : 0.2, ...STYLES[rank] } }
    )));
    this.lines.clearLayers();
    for (const style of [{ color: "#ffffff", weight: 6 }, { color: "#000000", weight: 2 }]) {
      for (const { lines, diversion } of this.found.legs) {
        const dashArray = diversion ? "8 6" : null;
        L.polyline(lines, { interactive: false, ...style, dashArray }).addTo(this.lines);
      }
    }
  }

  // Takes the answer away: it must not stand beside another route or other numbers.
  forget() {
    this.found = null;
    byId("readiness").hidden = true;
    this.cells.clear();
    this.lines.clearLayers();
  }

  clear() {
    this.forget();
    this.file = null;
    this.diversions = [];
    byId("route").value = byId("diversions").value = "";
    byId("route-name").textContent = "";
    this.say("The route is taken away.");
    byId("route").focus();
  }
}
